//! A devnet, nodes and clients as separate processes of the real program, in a folder that goes when the test does.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

pub mod anvil;
pub mod endpoints;
pub mod l1;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program, with nothing of the tester's own environment.
pub fn decdn(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decdn"));
    command.current_dir(dir).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A process that ends with the test.
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    errors: mpsc::Receiver<String>,
}

impl Running {
    /// Starts a command that prints JSON lines.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        let (send, lines) = mpsc::channel();
        let (say, errors) = mpsc::channel();
        #[expect(clippy::disallowed_methods, reason = "a pipe has to be read beside the test")]
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        #[expect(clippy::disallowed_methods, reason = "a pipe has to be read beside the test")]
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("{line}");
                let _ = say.send(line);
            }
        });
        Self { child, lines, errors }
    }

    /// The first line of its standard output that begins like this, without the beginning.
    pub fn line(&self, begins: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{begins} never came"));
            if let Some(rest) = line.strip_prefix(begins) {
                return rest.to_owned();
            }
        }
    }

    /// The next event of this name.
    pub fn event(&self, name: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} never came"));
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Every event that has come and was not looked at.
    pub fn events(&self) -> Vec<Value> {
        self.lines.try_iter().filter_map(|line| serde_json::from_str(&line).ok()).collect()
    }

    /// The events of this name that come until its standard output ends.
    pub fn until_end(&self, name: &str) -> Vec<Value> {
        let events = self.lines.iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        events.filter(|event| event["event"] == name).collect()
    }

    /// What it said on standard error, once it has ended.
    pub fn said(&self) -> String {
        self.errors.iter().collect::<Vec<_>>().join("\n")
    }

    /// Its exit code, if it ends within this time; `None` inside if a signal ended it.
    pub fn ends_within(&mut self, time: Duration) -> Option<Option<i32>> {
        for _ in 0..time.as_millis() / 5 {
            if let Some(status) = self.child.try_wait().expect("ours") {
                return Some(status.code());
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([format!("-{name}"), pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for the end; its exit code.
    pub fn end(&mut self) -> Option<i32> {
        for _ in 0..PATIENCE.as_millis() / 20 {
            if let Some(status) = self.child.try_wait().expect("ours") {
                return status.code();
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A chain, a folder, and the keys in it.
pub struct World {
    home: TempDir,
    pub chain: Running,
    pub rpc: String,
    pub contract: String,
    pub token: String,
    /// Who may do what only owners may, where the chain is no devnet of ours.
    owner: Option<anvil::Owner>,
}

impl World {
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut command = decdn(home.path());
        command.args(["devnet", "--port", "0", "--json"]);
        let chain = Running::start(command);
        let ready = chain.event("ready");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let (rpc, contract) = (text(&ready["rpc"]), text(&ready["contract"]));
        let token = text(&ready["tokens"][0]["address"]);
        Self { home, chain, rpc, contract, token, owner: None }
    }

    pub fn dir(&self) -> &Path {
        self.home.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).expect("writable");
    }

    /// The program with this chain in its environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = decdn(self.dir());
        command.args(args).env("DECDN_RPC", &self.rpc).env("DECDN_CONTRACT", &self.contract);
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("runs")
    }

    /// Runs what has to succeed; its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "decdn {args:?} ended with {}: {said}", output.status);
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// A key file with money.
    pub fn client_key(&self, name: &str, tokens: &str) {
        self.ok(&["key", "new", name]);
        match &self.owner {
            None => self.ok(&["devnet", "mint", name, tokens]),
            Some(owner) => owner.mint(self, name, tokens),
        };
    }

    /// A key file whose node is in the registry.
    pub fn node_key(&self, name: &str) {
        self.ok(&["key", "new", name]);
        match &self.owner {
            None => self.ok(&["devnet", "list", name]),
            Some(owner) => owner.list(self, name),
        };
    }

    /// Lets time on the chain jump.
    pub fn warp(&self, secs: u64) {
        match &self.owner {
            None => drop(self.ok(&["devnet", "warp", &secs.to_string()])),
            Some(owner) => owner.warp(self, secs),
        }
    }

    /// Makes a node with this content; its peer address, and the content's hash.
    pub fn node(&self, name: &str, content: &[u8]) -> (Running, String, String) {
        let (key, state, file) = (format!("{name}.key"), format!("{name}.state"), format!("{name}.bin"));
        self.node_key(&key);
        self.write(&file, content);
        let hash = self.ok(&["node", "add", &file, "--state-dir", &state]);
        assert_eq!(hash, self.ok(&["hash", &file]));
        let (node, peer) = self.node_again(name, "127.0.0.1:0");
        (node, peer, hash)
    }

    /// Starts a node that was made.
    pub fn node_again(&self, name: &str, listen: &str) -> (Running, String) {
        let node = Running::start(self.node_command(name, listen));
        let peer = node.event("ready")["peer"].as_str().expect("text").to_owned();
        (node, peer)
    }

    /// What starts a node that was made.
    pub fn node_command(&self, name: &str, listen: &str) -> Command {
        let (key, state) = (format!("{name}.key"), format!("{name}.state"));
        let mut command = self.command(&["node", "run", "--state-dir", &state, "--key-file", &key]);
        command.args(["--listen", listen, "--json", "--log", "error"]);
        if self.owner.is_some() {
            command.args(["--rate", &format!("{}=0.001", self.token)]);
        }
        command
    }

    /// What a fetch of this hash says on the command line, with `client.key` and `client.state`.
    pub fn fetch<'a>(&'a self, hash: &'a str, peer: &'a str, more: &[&'a str]) -> Command {
        let mut args = vec!["client", "fetch", "--hash", hash, "--peer", peer];
        args.extend(["--key-file", "client.key", "--state-dir", "client.state"]);
        if self.owner.is_some() {
            args.extend(["--payment-token", &self.token]);
        }
        args.extend(more);
        self.command(&args)
    }

    /// Lets every channel of `client.state` settle, however long that takes on the chain.
    pub fn settle(&self) {
        if self.owner.is_some() {
            // A monitor follows a devnet's jumps; elsewhere it counts on a clock that goes on steadily, so the jump comes first.
            self.warp(180_000);
        }
        self.end_settled(Running::start(self.monitor("client.state")));
    }

    /// A monitor of `client.key` with this state directory.
    pub fn monitor(&self, state: &str) -> Command {
        self.command(&["client", "monitor", "--state-dir", state, "--key-file", "client.key", "--json"])
    }

    /// Lets time pass until a monitor has seen every channel settle.
    pub fn end_settled(&self, mut monitor: Running) {
        // Where the program's clock does not follow the chain's jump, its head has to be confirmed first: two more polls, 30 s apart (L4).
        for _ in 0..60 {
            if let Some(code) = monitor.ends_within(Duration::from_secs(2)) {
                assert_eq!(code, Some(0));
                return;
            }
            // Past a window; a node that is gone is given up in between, and its channel closed alone.
            self.warp(180_000);
        }
        panic!("the channels do not settle");
    }

    /// What an account holds of the token, in base units.
    pub fn balance(&self, key: &str) -> u128 {
        let account = self.ok(&["key", "show", key, "--account"]);
        let data = format!("0x70a08231{:0>64}", &account[2..].to_lowercase());
        let call = serde_json::json!([{ "to": self.token, "data": data }, "latest"]);
        let answer = self.ask("eth_call", call);
        u128::from_str_radix(&answer.as_str().expect("hex")[2 + 32..], 16).expect("hex")
    }

    /// A JSON-RPC call of the devnet.
    pub fn ask(&self, method: &str, params: Value) -> Value {
        ask(&self.rpc, method, params)
    }
}

/// A JSON-RPC call of an endpoint; null if it is refused.
pub fn ask(rpc: &str, method: &str, params: Value) -> Value {
    use std::io::{Read, Write};
    let host = rpc.strip_prefix("http://").expect("http");
    let body =
        serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let mut stream = std::net::TcpStream::connect(host).expect("it serves");
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n{body}",
        body.len()
    )
    .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let answer: Value = serde_json::from_str(body).expect("JSON");
    answer["result"].clone()
}

/// Content of this size, always the same.
pub fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// What content costs at the node's usual rate, in base units.
pub fn price(bytes: usize) -> u128 {
    (bytes as u128 * 1_000).div_ceil(1 << 20)
}

/// Asserts that a command ended with this code and one sentence that names these things.
#[track_caller]
pub fn refused(output: &Output, code: i32, names: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    one_sentence(&said, names);
}

/// Asserts that there is one sentence of error that names these things.
#[track_caller]
pub fn one_sentence(said: &str, names: &[&str]) {
    assert!(!said.contains("panicked") && !said.contains(" ERROR "), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    let [sentence] = errors[..] else { panic!("one sentence is wanted, not {said:?}") };
    for name in names {
        assert!(sentence.contains(name), "{name:?} is not in {sentence:?}");
    }
}
