//! The README's three terminals, with the lines exactly as they stand there.

mod world;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// The shell block that follows a paragraph beginning like this.
fn block(readme: &str, begins: &str) -> String {
    let (_, after) = readme.split_once(&format!("\n{begins}")).unwrap_or_else(|| panic!("no {begins:?}"));
    let (_, after) = after.split_once("```sh\n").expect("a block follows");
    after.split_once("```").expect("the block ends").0.to_owned()
}

/// A network of one's own, so that nobody else has the ports; where the machine gives none, its own network.
fn isolated() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["-rn", "ip", "link", "set", "lo", "up"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

#[test]
fn the_three_terminals_of_the_readme_run_as_they_stand() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("there");
    let temp = tempfile::tempdir().expect("a temporary directory");
    for n in 1..=3 {
        let lines = block(&readme, &format!("Terminal {n},"));
        fs::write(temp.path().join(format!("{n}.sh")), lines).expect("writable");
    }
    // Three shells; the second and third begin once what they need is there, as a reader would.
    let script = r#"
        set -um
        bash -e 1.sh > 1.log 2>&1 & one=$!
        for i in $(seq 600); do grep -q '^contract' 1.log && break; sleep 0.1; done
        bash -e 2.sh > 2.log 2>&1 & two=$!
        for i in $(seq 600); do grep -q '^peer' 2.log && break; sleep 0.1; done
        bash -e 3.sh; code=$?
        kill -INT -- -$one -$two
        wait
        exit $code
    "#;
    let mut shell = if isolated() {
        let mut shell = Command::new("unshare");
        shell.args(["-rn", "--kill-child", "bash", "-c", &format!("ip link set lo up; {script}")]);
        shell
    } else {
        let mut shell = Command::new("bash");
        shell.args(["-c", script]);
        shell
    };
    let bin = Path::new(env!("CARGO_BIN_EXE_decdn")).parent().expect("a folder").to_owned();
    let path = std::env::join_paths(
        std::iter::once(bin).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let output = shell
        .current_dir(temp.path())
        .env_clear()
        .env("PATH", path.expect("no colon in it"))
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    let log = |name: &str| fs::read_to_string(temp.path().join(name)).unwrap_or_default();
    assert!(
        output.status.success(),
        "{}\n{}\nterminal 1: {}\nterminal 2: {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        log("1.log"),
        log("2.log")
    );
    let film = fs::read(temp.path().join("film.bin")).expect("made");
    assert!(film.len() == 50_000_000 && film == fs::read(temp.path().join("copy.bin")).expect("bought"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("final, signed by both"));
}
