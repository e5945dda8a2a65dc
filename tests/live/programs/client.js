// Three connections at once, each with a few words and a half-close.
const net = require("net");
let left = 3;
for (let i = 0; i < 3; i++) {
  const socket = net.connect(+process.argv[2], "127.0.0.1", () => socket.end("hello " + i));
  socket.on("data", () => {});
  socket.on("close", () => { if (--left === 0) process.exit(0); });
}
