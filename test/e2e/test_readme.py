"""What README tells people to type is true."""

import json
import os
import re
import shutil
import signal
import subprocess
import tomllib

import pytest

from kit.stand import TOP, posthouse, until


def blocks(page="README.md"):
    with open(os.path.join(TOP, page), encoding="utf-8") as f:
        text = f.read()
    return [re.sub(r"^    ", "", b, flags=re.M)
            for b in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.M)]


def test_configurations_parse(tmp_path):
    confs = [b for b in blocks() if re.search(r"^(service|deliver)\b", b, re.M)]
    assert len(confs) == 2
    for n, conf in enumerate(confs):
        name = tmp_path / f"{n}.conf"
        name.write_text(conf)
        r = subprocess.run([posthouse(), "config", "--check", name], check=False,
                           capture_output=True, text=True)
        assert r.returncode == 0, f"{conf}\n{r.stderr}"


def test_commands_exist():
    usage = subprocess.run([posthouse(), "--help"], check=False, capture_output=True, text=True)
    known = set(re.findall(r"^  ([a-z]+) ", usage.stdout + usage.stderr, re.M))
    said = {m for b in blocks() for m in re.findall(r"\bposthouse ([a-z]+)\b", b)}
    assert said and said <= known, said - known


@pytest.mark.parametrize("script", ("demo", "check", "tools/stand"))
def test_what_a_script_does_can_be_asked(script):
    r = subprocess.run([os.path.join(TOP, script), "--help"], check=False, capture_output=True,
                       text=True)
    assert (r.returncode, r.stderr) == (0, "") and f"{os.path.basename(script)} " in r.stdout
    r = subprocess.run([os.path.join(TOP, script), "--bogus"], check=False, capture_output=True)
    assert r.returncode == 2


def test_what_is_opened_late_can_be_seen():
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        said = re.search(r"`(readelf [^`]+)` does: (.*?)\n\n", f.read(), re.S)
    shown = subprocess.run([*said.group(1).split(), posthouse()], check=True, capture_output=True,
                           text=True).stdout
    named = re.findall(r"lib\w+\.so\.\d+", said.group(2))
    assert len(named) == 3 and all(n in shown for n in named), shown


def test_options_exist():
    said, = [line for b in blocks() for line in b.splitlines() if "each with --edge" in line]
    for command in re.findall(r"[a-z]+", said.partition("posthouse ")[2].partition("  ")[0]):
        usage = subprocess.run([posthouse(), command, "--help"], check=True, capture_output=True,
                               text=True).stdout
        assert "-c FILE | --edge | --home" in usage, usage


def test_the_workers_guide_is_true(tmp_path):
    """Its home.conf, its commands; every secret and variable is one that the Worker reads."""
    said, = [b for b in blocks("worker/README.md") if 'service "push" { url' in b]
    probe, = [b for b in blocks("worker/README.md") if "probe { url" in b]
    conf = tmp_path / "home.conf"
    conf.write_text(said + probe +
                    f'state = "{tmp_path}/state"\ncontrol = "{tmp_path}/s"\nuser = ""\n')

    def run(*words):
        return subprocess.run([posthouse(), *words], check=True, capture_output=True, text=True)

    run("config", "--check", conf)
    run("keygen", "--home", "-c", conf)
    made = run("worker-config", "-c", conf)
    assert tomllib.loads(made.stdout)["vars"]["WAYS"] == "https r2"
    usage = subprocess.run([posthouse(), "--help"], check=False, capture_output=True, text=True)
    known = set(re.findall(r"^  ([a-z-]+) ", usage.stdout + usage.stderr, re.M))
    with open(os.path.join(TOP, "worker", "README.md"), encoding="utf-8") as f:
        text = f.read()
    assert set(re.findall(r"`posthouse ([a-z-]+)", text)) <= known
    # Variables stand commented out where they are not needed.
    template = tomllib.loads(re.sub(r'^#(?=[A-Z_]+ = ")', "", made.stdout, flags=re.M))["vars"]
    secrets = set(re.findall(r"secret put ([A-Z_]+)", text + made.stderr))
    code = ""
    for name in os.listdir(os.path.join(TOP, "worker")):
        if name.endswith(".js"):
            with open(os.path.join(TOP, "worker", name), encoding="utf-8") as f:
                code += f.read()
    assert {"MAC_KEY", "ID_KEY", "HTTPS_TOKEN", "SMTP_PASSWORD", "PROBE_TOKEN"} <= secrets
    for name in secrets | set(template):
        assert re.search(rf"\b{name}\b", code), name
    for name in set(re.findall(r"\benv\.([A-Z_]+)", code)) - secrets - {"PROBE_RESOLVER"}:
        assert name in template or name == "MAIL", name


def test_what_is_installed_lies_where_it_is_looked_for(tmp_path):
    """As README configures the build.  fail2ban reads actions below /etc alone."""
    setup, = [line for b in blocks() for line in b.splitlines() if line.startswith("meson setup ")]
    words = setup.replace(" build ", f" {tmp_path}/build ").split()
    subprocess.run(words, cwd=TOP, check=True, capture_output=True)
    r = subprocess.run(["meson", "introspect", "--installed", tmp_path / "build"], check=True,
                       capture_output=True, text=True)
    places = set(json.loads(r.stdout).values())
    assert "/etc/fail2ban/action.d/posthouse.conf" in places, places
    assert {"/usr/local/bin/posthouse", "/usr/local/lib/systemd/system/posthouse-edge.service",
            "/usr/local/lib/systemd/system/posthouse-home.service",
            "/usr/local/lib/sysusers.d/posthouse.conf",
            "/usr/local/lib/tmpfiles.d/posthouse.conf"} <= places, places


# Both machines in one, with directories, an account and ports of its own; systemd's part is played.
MACHINE = r"""
set -eu
exec 2>&1
cp -a /etc "$DIR/etc"
mount --bind "$DIR/etc" /etc
for d in /run /var/lib /var/mail; do mount -t tmpfs none $d; done
ip link set lo up
echo 127.0.0.1 mx1.example.org >> /etc/hosts
systemd-sysusers "$PWD/packaging/posthouse.sysusers"
systemd-tmpfiles --create "$PWD/packaging/posthouse.tmpfiles"
install -m 600 "$DIR/privkey.pem" "$DIR/fullchain.pem" /etc/posthouse/
mv "$DIR/edge.conf" "$DIR/home.conf" /etc/posthouse/
posthouse() { "$POSTHOUSE" "$@"; }
sudo() { "$@"; }
systemctl() {
    test "$1 $2" = "enable --now"
    start=$(sed -n 's|^ExecStart=/usr/bin/posthouse ||p' "packaging/$3.service")
    user=$(sed -n 's/^User=//p' "packaging/$3.service")
    setpriv --pdeathsig KILL --reuid "${user:-root}" --regid "${user:-root}" --clear-groups \
        "$POSTHOUSE" $start > "$DIR/$3.log" & pids="$! ${pids:-}"
    for _ in $(seq 600); do
        posthouse status "--${3#posthouse-}" > /dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$DIR/$3.log"
    return 1
}
"""

AFTER = r"""
for _ in $(seq 600); do
    posthouse status --home --json | grep -q '"connections": *[1-9]' && break
    sleep 0.1
done
swaks --server 127.0.0.1 --tls --from a@client.test --to bob@example.org > /dev/null
for _ in $(seq 600); do
    ls /var/mail/posthouse/bob/new/* && break
    sleep 0.1
done
posthouse interlock
posthouse ban 192.0.2.7 --for 1h
posthouse password bob
posthouse rotate --home > /dev/null
for role in edge home; do posthouse status --$role; posthouse queue --$role; done
kill $pids
wait
echo All of it was typed.
"""


def test_two_machines_as_typed(tmp_path):
    """Each command of the section, word for word."""
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("no systemd-sysusers here")
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        section = f.read().split("\n## An edge and a home")[1].split("**Point the MX")[0]
    typed = [b.strip() for b in blocks() if b.strip() and
             "    " + b.strip().splitlines()[0] in section]
    for role, begins in ("edge", "hostname"), ("home", "deliver"):
        conf, = [b for b in typed if b.startswith(begins)]
        (tmp_path / f"{role}.conf").write_text(conf + "\n")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "90", "-subj",
                    "/CN=mx1.example.org", "-keyout", tmp_path / "privkey.pem", "-out",
                    tmp_path / "fullchain.pem"], check=True, capture_output=True)
    script = MACHINE
    commands = [b for b in typed if b.startswith("sudo ")]
    assert len(commands) == 4, commands
    for c in commands:
        script += f'{c} > "$DIR/line"\n' if "pair --edge" in c else \
            f'{{ {c}\n}} < "$DIR/line"\n' if "pair --home" in c else c + "\n"
    everyday = "\n".join(blocks())
    for c in "posthouse interlock", "posthouse ban 192.0.2.7 --for 1h", "posthouse password":
        assert c in everyday
    script += AFTER
    r = subprocess.run(["unshare", "--mount", "--net", "bash", "-c", script], check=False,
                       cwd=TOP, capture_output=True, text=True, timeout=300,
                       env=dict(os.environ, POSTHOUSE=posthouse(), DIR=str(tmp_path)))
    assert r.returncode == 0 and r.stdout.endswith("All of it was typed.\n"), r.stdout + r.stderr


@pytest.mark.parametrize("name", ["demo", "check", "tools/need", "tools/stand"])
def test_what_it_names_is_there(name):
    assert os.access(os.path.join(TOP, name), os.X_OK)


def story(where):
    """The demo, once all is built, as a terminal starts it: Ctrl-C reaches what it starts."""
    return subprocess.Popen([os.path.join(TOP, "tools", "demo-story")], text=True,
                            env=dict(os.environ, TMPDIR=str(where)), start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_the_demo_tells_its_story(tmp_path):
    p = story(tmp_path)
    told = p.communicate(timeout=180)[0]
    assert p.returncode == 0 and "All of it happened as told" in told, told
    assert os.listdir(tmp_path) == []


def running(where):
    """Whatever has this directory on its command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="latin-1") as f:
                words = f.read().replace("\0", " ")
        except OSError:
            continue        # it has ended meanwhile
        if str(where) in words:
            found.append(words)
    return found


@pytest.mark.parametrize("after", ["edge.pid", "home.pid"])
def test_an_interrupted_demo_leaves_nothing_running(tmp_path, after):
    p = story(tmp_path)
    until("it is being put up", 30, lambda: any(
        os.path.exists(os.path.join(tmp_path, d, after)) for d in os.listdir(tmp_path)), 0.002)
    os.killpg(p.pid, signal.SIGINT)
    told = p.communicate(timeout=180)[0]
    assert p.returncode == 1 and told.endswith("demo: interrupted\n"), told
    assert not running(tmp_path)
    assert os.listdir(tmp_path) == []


def test_links_lead_somewhere():
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        for link in re.findall(r"\]\(([^)]+)\)", f.read()):
            assert os.path.exists(os.path.join(TOP, link)), link
