"""What may be typed: one parser, from which completion is drawn too.

argparse, because ``--help`` has a budget of 0.15 s: measured here from shell to prompt, it costs
10 ms, typer 40 ms (120 ms with its rich help), on top of Python's own 23 ms.
"""

from __future__ import annotations

import argparse

from observatory import __version__
from observatory.cli import atlas, claims, commands, comparing, running, serving, tracing
from observatory.cli.completion import SHELLS

DESCRIPTION = "Shows what every socket call does on the wire, and why it returned what it returned."

EPILOG = """\
examples:
  observatory list 4.3                    what can be observed of connect()
  observatory run connect-refused         observe it, explain it, keep it as a file
  observatory trace --private -- CMD      explain any program's calls and packets
  observatory analyze capture.pcapng      explain a run file, or any capture
  observatory check captures/*.pcapng     does tshark agree?

exit status:
  0 done    1 check or diff found differences, or something is missing for doctor
  2 usage   3 no permission   4 capture failed   5 bad file   6 the behaviour did not run
  7 a program or kernel feature is missing   8 could not write   130 interrupted
  trace: that of the command
"""

RUN_EPILOG = """\
A run happens in a network namespace of its own: nothing foreign is captured, no setting of the
host is touched, no sudo is needed. It exits 0 if the behaviour ran, whatever errno it shows.

examples:
  observatory run connect-refused                  writes captures/connect-refused.pcapng
  observatory run connect-refused close-dup -o out/
  observatory run --section 4.9 --quiet            print only the names of the files
  observatory run connect-refused --json | jq .calls
  sudo observatory run connect-refused --host      on the machine's own loopback
"""

ANALYZE_EPILOG = """\
A file without calls in it (tcpdump's, Wireshark's) is explained as far as the wire alone can say.
With --calls they are taken from a log of strace's, recorded meanwhile, on another machine too: the
difference of the clocks is estimated from the handshakes. The options that tell most:
  strace -f -y --absolute-timestamps=format:unix,precision:ns -o web.strace COMMAND

examples:
  observatory analyze captures/connect-refused.pcapng
  tcpdump -i eth0 -w web.pcap; observatory analyze web.pcap --json | jq .connections
  observatory analyze web.pcap --calls web.strace
"""

REPORT_EPILOG = """\
examples:
  observatory report run.pcapng --format html -o run.html
  observatory report run.pcapng --format markdown > run.md
  observatory report run.pcapng --format svg -o ladder.svg
  observatory report run.pcapng --format csv --rows segments | head
  observatory report run.pcapng --format pcapng -o annotated.pcapng
  observatory report run.pcapng --format pcap | tcpdump -r -
"""

CHECK_EPILOG = """\
Stream grouping, flags, relative numbers, retransmissions and completeness are compared.
Exit status 1 if anything disagrees.
"""

COMPLETION_EPILOG = """\
examples:
  eval "$(observatory completion bash)"            in ~/.bashrc
  eval "$(observatory completion zsh)"             in ~/.zshrc
  observatory completion fish > ~/.config/fish/completions/observatory.fish
"""

LIST_EPILOG = """\
examples:
  observatory list
  observatory list 4.9 --json
"""


REPORT_FORMATS = (
    "text",
    "json",
    "html",
    "markdown",
    "svg",
    "png",
    "mermaid",
    "csv",
    "pcapng",
    "pcap",
)


def make_parser() -> argparse.ArgumentParser:
    """The whole command line. Each command's function is in its namespace as ``command``."""
    parser = argparse.ArgumentParser(
        prog="observatory",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"observatory {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")

    def command(
        name: str, function: commands.Command, summary: str, epilog: str = ""
    ) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.set_defaults(command=function)
        return sub

    the_list = command(
        "list", commands.list_behaviours, "the behaviours that can be observed", LIST_EPILOG
    )
    the_list.add_argument("section", nargs="?", metavar="SECTION", help="of UNP, such as 4.3")
    _add_json(the_list)

    the_run = command("run", running.run, "observe behaviours and explain them", RUN_EPILOG)
    the_run.add_argument("names", nargs="*", metavar="NAME", help="as `list` prints it")
    the_run.add_argument("--section", metavar="S", help="every behaviour of a section")
    the_run.add_argument("--all", action="store_true", help="every behaviour")
    the_run.add_argument(
        "--slow", action="store_true", help="also those that take minutes: timers to their end"
    )
    the_run.add_argument(
        "-o",
        "--output",
        metavar="WHERE",
        help="a folder, or for one behaviour a name that ends in .pcapng (default: captures/); "
        "no file is overwritten, a number is added",
    )
    the_run.add_argument(
        "--host", action="store_true", help="on this machine's own network, not a private one"
    )
    the_run.add_argument(
        "-i", "--interface", metavar="IFACE", default="lo", help="to capture on (default: lo)"
    )
    the_run.add_argument(
        "--no-kernel", action="store_true", help="do not ask the kernel's tracepoints (root only)"
    )
    the_run.add_argument(
        "-q", "--quiet", action="store_true", help="print only the name of each file"
    )
    _add_full(the_run)
    _add_lang(the_run)
    _add_json(the_run)

    the_trace = command("trace", tracing.trace, tracing.SUMMARY, tracing.EPILOG)
    tracing.add_arguments(the_trace)

    the_analysis = command(
        "analyze", commands.analyze_file, "explain a run file or any capture", ANALYZE_EPILOG
    )
    _add_file(the_analysis)
    the_analysis.add_argument(
        "--calls", metavar="LOG", help="the calls, as strace -f -y -ttt -o LOG recorded them"
    )
    _add_only(the_analysis)
    _add_full(the_analysis)
    _add_lang(the_analysis)
    _add_json(the_analysis)

    the_report = command(
        "report", commands.report, "write a run file in another format", REPORT_EPILOG
    )
    _add_file(the_report)
    the_report.add_argument("--calls", metavar="LOG", help="with the calls in strace's log")
    _add_only(the_report)
    the_report.add_argument(
        "--format",
        choices=[*REPORT_FORMATS],
        help="html: one page with all of it; svg, png, mermaid: the ladder as a picture; "
        "csv: a table; pcapng: annotated anew; pcap: the packets alone "
        "(default: as FILE ends, or text)",
    )
    the_report.add_argument(
        "--rows", choices=["calls", "segments"], help="of a csv (default: calls)"
    )
    the_report.add_argument("-o", "--output", metavar="FILE", help="(default: stdout)")
    the_report.add_argument(
        "--json", dest="format", action="store_const", const="json", help="as --format json"
    )

    _add_full(the_report)
    _add_lang(the_report)

    the_diff = command("diff", comparing.diff, comparing.SUMMARY, comparing.EPILOG)
    comparing.add_arguments(the_diff)

    the_serve = command("serve", serving.serve, serving.SUMMARY, serving.EPILOG)
    serving.add_arguments(the_serve)

    the_atlas = command("atlas", atlas.atlas, atlas.SUMMARY, atlas.EPILOG)
    atlas.add_arguments(the_atlas)

    the_check = command("check", commands.check, "compare with what tshark says", CHECK_EPILOG)
    the_check.add_argument("files", nargs="+", metavar="FILE", help="a pcapng or pcap file")
    _add_json(the_check)

    the_claims = command("claims", claims.claims, claims.SUMMARY, claims.EPILOG)
    claims.add_arguments(the_claims)

    the_doctor = command("doctor", commands.doctor, "what is there, what is missing, what mends it")
    the_doctor.add_argument(
        "--mend",
        action="store_true",
        help="remove what runs that were killed have left behind (root only)",
    )
    _add_json(the_doctor)

    the_completion = command(
        "completion", commands.completion, "print a completion script", COMPLETION_EPILOG
    )
    the_completion.add_argument("shell", choices=list(SHELLS))
    return parser


def _add_full(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="leave nothing out of a long report")
    parser.add_argument(
        "--show-kernel", action="store_true", help="mark the kernel's own events in the ladder"
    )


def _add_lang(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lang", metavar="LANG", default="en", help="of the explanations: en or zh (default: en)"
    )


def _add_only(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="WHAT", help="only this port, address or process")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a pcapng or pcap file")
