"""The doctor is shown machines that lack one thing or another."""

from dataclasses import replace

import pytest

from observatory.doctor import Finding, Status, System, can_run, document, examine, mend, render
from observatory.lab.probe import Probe, probe_private_network
from observatory.lab.probe_lab import LabProbe, Part, probe_lab
from observatory.sources.tracefs_instances import Survey

GRANTED = Probe(namespace=True, capture=True, method="TPACKET_V3 ring, 1 MiB")
REFUSED = Probe(namespace=False, capture=False, error="no private network")

FILES = {
    "/proc/self/status": "CapEff:\t0000000000000000\nSeccomp:\t0",
    "/proc/sys/user/max_user_namespaces": "96365",
    "/proc/sys/net/ipv4/tcp_syn_retries": "6",
    "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999",
}
ORDINARY = System(
    read=FILES.get,
    which=lambda name: f"/usr/bin/{name}",
    program_version=lambda path, argument: "6.1" if "strace" in path else "4.0.17",
    package_version=lambda name: "1.0",
    probe=lambda: GRANTED,
    probe_lab=lambda: LabProbe({}),
    tracing=lambda path: "",
    survey=lambda wanted: Survey(),
    kernel="Linux 6.18.0",
    superuser=False,
)


def with_files(system: System, changes: dict[str, str]) -> System:
    return replace(system, read={**FILES, **changes}.get)


def named(findings: tuple[Finding, ...], name: str) -> Finding:
    found = [finding for finding in findings if finding.name == name]
    assert len(found) == 1, f"{name} is found {len(found)} times"
    return found[0]


def test_a_machine_that_has_all_can_run() -> None:
    findings = examine(ORDINARY)
    assert can_run(findings)
    assert not [finding for finding in findings if finding.status is Status.MISSING]
    assert "Behaviours can be run here." in render(findings)


@pytest.mark.parametrize(
    ("path", "value", "why", "mend"),
    [
        (
            "/proc/sys/user/max_user_namespaces",
            "0",
            "user.max_user_namespaces",
            "sysctl -w user.max_user_namespaces=",
        ),
        (
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "unprivileged_userns_clone",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "AppArmor",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("/proc/self/status", "Seccomp:\t2", "seccomp", "docker run"),
        ("/nothing", "", "no setting says why", "sudo observatory run"),
    ],
)
def test_a_refused_user_namespace_has_a_reason_and_a_remedy(
    path: str, value: str, why: str, mend: str
) -> None:
    refusing = with_files(replace(ORDINARY, probe=lambda: REFUSED), {path: value})
    findings = examine(refusing)
    finding = named(findings, "user and network namespace")
    assert finding.status is Status.MISSING
    assert why in finding.detail
    assert mend in (finding.mend or "")
    assert not can_run(findings)
    assert finding.mend is not None and finding.mend in render(findings)


def test_root_without_namespaces_is_in_a_container() -> None:
    system = replace(ORDINARY, superuser=True, probe=lambda: REFUSED)
    finding = named(examine(system), "network namespace")
    assert "CAP_SYS_ADMIN" in finding.detail
    assert "docker run" in (finding.mend or "")


def test_no_capture_in_the_namespace_means_no_run() -> None:
    probe = Probe(namespace=True, capture=False, error="capturing needs CAP_NET_RAW")
    findings = examine(replace(ORDINARY, probe=lambda: probe))
    assert named(findings, "capture").status is Status.MISSING
    assert not can_run(findings)


def test_a_plain_packet_socket_is_worth_a_note() -> None:
    probe = Probe(namespace=True, capture=True, method="AF_PACKET socket, 416 KiB")
    findings = examine(replace(ORDINARY, probe=lambda: probe))
    assert named(findings, "capture").status is Status.NOTE
    assert can_run(findings)


def test_another_system_is_no_place_for_it() -> None:
    findings = examine(replace(ORDINARY, kernel="Darwin 24.0"))
    assert not can_run(findings)


def test_without_tshark_behaviours_still_run() -> None:
    findings = examine(replace(ORDINARY, which=lambda name: None))
    tshark = named(findings, "tshark")
    assert tshark.status is Status.MISSING
    assert tshark.mend == "sudo apt-get install tshark"
    assert can_run(findings)


def test_without_scapy_they_do_not() -> None:
    lacking = replace(ORDINARY, package_version=lambda name: None if name == "scapy" else "1.0")
    findings = examine(lacking)
    assert "pip install scapy" in (named(findings, "scapy").mend or "")
    assert not can_run(findings)


def test_capabilities_decide_about_the_host() -> None:
    name = "capture on the host (--host)"
    assert named(examine(ORDINARY), name).status is Status.NOTE
    able = with_files(ORDINARY, {"/proc/self/status": "CapEff:\t0000000000002000"})
    assert named(examine(able), name).status is Status.OK


def test_a_changed_setting_says_what_it_changes_and_what_sets_it_back() -> None:
    changed = with_files(ORDINARY, {"/proc/sys/net/ipv4/tcp_syn_retries": "2"})
    finding = named(examine(changed), "net.ipv4.tcp_syn_retries")
    assert finding.status is Status.NOTE
    assert "ETIMEDOUT" in finding.detail
    assert 'sysctl -w net.ipv4.tcp_syn_retries="6"' in (finding.mend or "")
    ports = named(examine(changed), "net.ipv4.ip_local_port_range")
    assert ports.status is Status.OK


def test_the_document_says_the_same() -> None:
    findings = examine(ORDINARY)
    told = document(findings)
    assert told["can_run"] is True
    assert isinstance(told["findings"], list)
    assert {"name", "status", "detail", "mend", "needed"} == set(told["findings"][0])


def test_the_real_machine_is_tried_in_another_process() -> None:
    probe = probe_private_network()
    assert probe.namespace or probe.error


@pytest.mark.parametrize(
    ("part", "cost", "mend", "status"),
    [
        (Part.SETTINGS, "change one cannot be run", "/proc/sys", Status.MISSING),
        (Part.LINKS, "several hosts cannot be run", "modprobe veth", Status.MISSING),
        (Part.FIREWALL, "drops or rejects cannot", "nftables", Status.MISSING),
        (Part.NETEM, "relay", "sch_netem", Status.NOTE),
        (Part.RELAY, "reorder packets", "sudo", Status.MISSING),
    ],
)
def test_what_the_lab_lacks_has_its_cost(part: Part, cost: str, mend: str, status: Status) -> None:
    lacking = replace(ORDINARY, probe_lab=lambda: LabProbe({part: "refused here"}))
    findings = examine(lacking)
    finding = named(findings, f"lab {part}")
    assert finding.status is status
    assert cost in finding.detail and "refused here" in finding.detail
    assert mend in (finding.mend or "")
    assert can_run(findings), "behaviours on the loopback need none of it"


def test_of_a_lab_without_links_nothing_else_is_told() -> None:
    lacking = replace(ORDINARY, probe_lab=lambda: LabProbe({Part.LINKS: "no veth"}))
    told = [each.name for each in examine(lacking) if each.name.startswith("lab ")]
    assert told == ["lab settings", "lab links"]
    refused = replace(ORDINARY, probe_lab=lambda: LabProbe({}, error="no private network"))
    assert not [each for each in examine(refused) if each.name.startswith("lab ")]


def test_the_real_lab_is_tried_in_another_process(live: None) -> None:
    probe = probe_lab()
    assert not probe.error
    assert set(probe.refused) <= set(Part)


def test_an_old_strace_is_told_from_a_missing_one() -> None:
    old = examine(replace(ORDINARY, program_version=lambda path, argument: "5.10"))
    assert named(old, "strace").status is Status.NOTE
    assert "older than 6.1" in named(old, "strace").detail
    none = examine(replace(ORDINARY, which=lambda name: None))
    assert named(none, "strace").mend == "sudo apt-get install strace"
    assert can_run(none)


def test_it_says_who_may_be_traced() -> None:
    refused = examine(replace(ORDINARY, tracing=lambda path: "Operation not permitted"))
    assert named(refused, "tracing").status is Status.MISSING
    assert "SYS_PTRACE" in str(named(refused, "tracing").mend)
    yama = with_files(ORDINARY, {"/proc/sys/kernel/yama/ptrace_scope": "1"})
    assert named(examine(yama), "tracing").status is Status.NOTE
    assert named(examine(replace(yama, superuser=True)), "tracing").status is Status.OK


def test_the_kernels_tracepoints_need_root() -> None:
    finding = named(examine(ORDINARY), "kernel tracepoints")
    assert finding.status is Status.NOTE
    assert "root" in finding.detail
    assert finding.mend == "sudo observatory run NAME"


@pytest.mark.parametrize(
    ("survey", "status", "words", "mend"),
    [
        (Survey(), Status.OK, "states", None),
        (Survey(refusal="No such device"), Status.NOTE, "No such device", "root"),
        (Survey(missing=("tcp:tcp_send_reset.reason",)), Status.NOTE, "Linux 6.10", None),
        (Survey(missing=("skb:kfree_skb.rx_sk",)), Status.NOTE, "which socket", None),
        (Survey(missing=("net:net_dev_queue",)), Status.NOTE, "does not tell which segment", None),
    ],
    ids=["all there", "no tracefs", "no reason", "no receiver", "no event"],
)
def test_what_the_kernel_does_not_tell_has_its_cost(
    survey: Survey, status: Status, words: str, mend: str | None
) -> None:
    findings = examine(replace(ORDINARY, superuser=True, survey=lambda wanted: survey))
    finding = named(findings, "kernel tracepoints")
    assert finding.status is status
    assert words in finding.detail
    assert (mend or "") in (finding.mend or "")
    assert can_run(findings)


def test_what_killed_runs_left_in_the_kernel_is_told() -> None:
    left = Survey(leftovers=("observatory-4711",))
    findings = examine(replace(ORDINARY, superuser=True, survey=lambda wanted: left))
    found = [finding for finding in findings if finding.name == "kernel tracepoints"]
    assert [finding.status for finding in found] == [Status.OK, Status.NOTE]
    assert "observatory-4711" in found[1].detail
    assert found[1].mend == "sudo observatory doctor --mend"


def test_mending_says_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("observatory.doctor.remove_leftovers", lambda: ["observatory-4711"])
    assert mend() == ("removed the tracefs instance observatory-4711",)
    monkeypatch.setattr("observatory.doctor.remove_leftovers", lambda: [])
    assert "nothing was left behind" in mend()[0]

    def refuse() -> list[str]:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("observatory.doctor.remove_leftovers", refuse)
    assert "sudo" in mend()[0]
