//! Recordings of real processes: what was recorded is told again to the same states, and what was tampered with is
//! named by its line.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use decdn_contracts::Curves;
use decdn_engine::{
    chain::{
        Block, ChainEvent, ChainUpdate, Revert, TxOutcome,
        channel::{self, EventKind},
    },
    crypto::Deployment,
    ids::{Address, BlobHash, ChannelId, ConnId, NodeId},
    io::{Gone, Input, Outputs},
    money::{Amount, Rate},
    record::Record,
    roles::{
        Config, Role,
        config::{NodeConfig, TokenTerms},
        node::Node,
    },
    time::{ChainTime, Now, Span, Time, WallTime},
    wire::Protocol,
};
use decdn_recording::Recorder;
use decdn_sim::trace::{self, Ending};

const TOKEN: Address = Address::repeat_byte(0x70);
const OPERATOR: Address = Address::repeat_byte(0x0e);
const WALL: u64 = 1_700_000_000_000_000;

fn config() -> NodeConfig {
    let mut config = NodeConfig::new(Deployment::default(), NodeId([1; 32]), OPERATOR);
    config.tokens.push(TokenTerms::new(TOKEN, Rate(1_000)));
    config
}

/// What a node hears in its first minutes.
fn story() -> Vec<Input> {
    let head = Block { number: 5, time: ChainTime(WALL / 1_000_000) };
    let opened = |n: u8| {
        let deposit = Amount(u128::from(u64::MAX) + u128::from(n));
        let (client, node, token) = (Address::repeat_byte(n), OPERATOR, TOKEN);
        ChainEvent::of_channel(
            head,
            ChannelId([n; 32]),
            EventKind::Opened { client, node, token, deposit, window_secs: 172_800 },
        )
    };
    let kind = EventKind::Closing {
        by: Address::repeat_byte(3),
        amount: Amount(0),
        nonce: decdn_engine::money::Nonce(0),
        deadline: ChainTime(WALL / 1_000_000 + 48 * 3_600),
    };
    let closing = ChainEvent::of_channel(head, ChannelId([3; 32]), kind);
    let update = |events, next| {
        Input::Chain(ChainUpdate {
            head: head.into(),
            forked_at: None,
            safe: 1,
            events,
            next,
            forced_inclusion: Span::from_hours(24),
            ..ChainUpdate::default()
        })
    };
    vec![
        Input::Tick,
        Input::BlobReady { hash: BlobHash([7; 32]), bytes: 1 << 40 },
        update(vec![opened(2), opened(3)], 5),
        Input::Connected {
            conn: ConnId(1 << 63),
            peer: NodeId([9; 32]),
            protocol: Protocol::Client,
            rtt: Span::from_millis(3),
        },
        update(vec![closing], 6),
        Input::Disconnected { conn: ConnId(1 << 63), why: Gone::Lost },
    ]
}

fn path(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.recording"));
    let _ = fs::remove_file(&path);
    path
}

/// Plays the story to a node that starts from `records`, and records it.
fn recorded(name: &str, records: Vec<Record>, is_stopped: bool) -> PathBuf {
    let path = path(name);
    let mut node = Node::recover(config(), records.clone().into_iter());
    let mut recorder =
        Recorder::create(&path, "0.1.0", Config::Node(config()), &records, node.digest()).expect("recorded");
    let crypto = Curves::new();
    for (i, input) in (0u64..).zip(story()) {
        let now = Now { mono: Time(i * 1_000_000), wall: WallTime(WALL + i * 1_000_000) };
        recorder.fed(now, node.digest(), &input);
        node.step(now, input, &crypto, &mut Outputs::new());
    }
    if is_stopped {
        recorder.end(node.digest()).expect("recorded");
    }
    path
}

/// Records as a crash would have left them: a closing channel among them.
fn durable() -> Vec<Record> {
    let mut node = Node::new(config());
    let mut records = Vec::new();
    for input in story() {
        let mut outputs = Outputs::new();
        node.step(Now { mono: Time(0), wall: WallTime(WALL) }, input, &Curves::new(), &mut outputs);
        for output in outputs.drain() {
            if let decdn_engine::io::Effect::Persist { writes, .. } = output.effect {
                records.extend(writes);
            }
        }
    }
    assert!(!records.is_empty(), "the story leaves something durable");
    records
}

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_decdn-sim")).args(args).output().expect("the simulator starts")
}

fn edited(name: &str, from: &Path, edit: impl Fn(usize, &str) -> String) -> PathBuf {
    let text = fs::read_to_string(from).expect("text");
    let lines: Vec<String> = text.lines().enumerate().map(|(i, line)| edit(i + 1, line)).collect();
    let to = path(name);
    fs::write(&to, lines.join("\n") + "\n").expect("written");
    to
}

#[test]
fn o13_a_recording_is_told_again_to_the_same_states() {
    for (name, records, is_stopped) in
        [("fresh", Vec::new(), true), ("recovered", durable(), true), ("killed", durable(), false)]
    {
        let path = recorded(name, records, is_stopped);
        let mut outputs = 0;
        let told = trace::retell(&path, |_, asked| outputs += asked.len()).expect("goes as recorded");
        assert_eq!((told.inputs, told.role), (story().len() as u64, "node"));
        assert!(outputs > 0, "the node asked for something");
        assert_eq!(told.ending, if is_stopped { Ending::Stopped } else { Ending::Open });
        assert_eq!(told.panicked, None);
    }
}

#[test]
fn a_torn_last_line_is_no_fault() {
    let whole = recorded("whole", Vec::new(), false);
    let bytes = fs::read(&whole).expect("there");
    let torn = path("torn");
    fs::write(&torn, &bytes[..bytes.len() - 20]).expect("written");
    let told = trace::retell(&torn, |_, _| {}).expect("goes as recorded");
    assert_eq!((told.ending, told.inputs), (Ending::Torn, story().len() as u64 - 1));
}

#[test]
fn the_first_wrong_line_is_named() {
    let good = recorded("good", Vec::new(), true);
    let wrong = |path: &Path| {
        let path = path.to_str().expect("text");
        let output = sim(&["replay", path]);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(text.lines().count(), 1, "one sentence: {text}");
        text
    };
    let changed = edited("changed", &good, |n, line| match n {
        5 => line.replace("5", "6"),
        _ => line.to_owned(),
    });
    assert!(wrong(&changed).contains(":5: this line was not written after the one before"));
    let headless =
        edited("headless", &good, |n, line| if n == 1 { "{}".to_owned() } else { line.to_owned() });
    assert!(wrong(&headless).contains(":1: "));
    let empty_state = path("cut");
    fs::write(
        &empty_state,
        fs::read_to_string(&good).expect("text").lines().next().expect("a head").to_owned() + "\n",
    )
    .expect("written");
    assert!(wrong(&empty_state).contains("ends before its start"));
}

#[test]
fn states_that_differ_are_named_by_their_line() {
    let path = path("lie");
    let mut node = Node::new(config());
    let mut recorder =
        Recorder::create(&path, "0.1.0", Config::Node(config()), &[], node.digest()).expect("recorded");
    let now = Now { mono: Time(0), wall: WallTime(WALL) };
    for input in story() {
        // The digest of the start, whatever came since.
        recorder.fed(now, Node::new(config()).digest(), &input);
        node.step(now, input, &Curves::new(), &mut Outputs::new());
    }
    let wrong = trace::retell(&path, |_, _| {}).expect_err("a lie");
    assert!(wrong.0.contains("the state was"), "{wrong}");
    assert!(wrong.0.contains(":4: ") || wrong.0.contains(":5: "), "{wrong}");
}

#[test]
fn the_command_line_tells_recordings_from_traces() {
    let (one, other) = (recorded("one", Vec::new(), true), recorded("other", durable(), true));
    let (one, other) = (one.to_str().expect("text"), other.to_str().expect("text"));
    let shown = sim(&["replay", one, "-v"]);
    assert_eq!(shown.status.code(), Some(0), "{}", String::from_utf8_lossy(&shown.stderr));
    let text = String::from_utf8(shown.stdout).expect("text");
    assert!(text.contains("BlobReady") && text.contains("a clean stop"), "{text}");
    assert_eq!(text.lines().count(), story().len() + 2, "a heading, a line per input, the verdict: {text}");
    assert_eq!(sim(&["diff", one, one]).status.code(), Some(0));
    let parted = sim(&["diff", one, other]);
    assert_eq!(parted.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&parted.stdout).contains("they part at line 2"));
}

#[test]
fn nothing_is_recorded_over() {
    let path = recorded("twice", Vec::new(), true);
    let again = Recorder::create(&path, "0.1.0", Config::Node(config()), &[], Node::new(config()).digest());
    assert_eq!(again.expect_err("it is there").kind(), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn what_was_recorded_before_there_was_a_second_contract_is_still_read() {
    let head = r#"{"number":7,"time":9}"#;
    let channel = serde_json::to_string(&ChannelId([1; 32])).expect("an id");
    // How it ended, and the amount in all, are told since version 5.
    let paid = (1u128 << 64) + 1;
    let kind = format!(r#"{{"Settled":{{"ending":"Consent","amount":{paid},"paid":{paid},"refunded":0}}}}"#);
    let event = format!(r#"{{"block":{head},"channel":{channel},"kind":{kind}}}"#);
    let update = format!(
        r#"{{"Chain":{{"head":{head},"safe":1,"events":[{event}],"next":8,"forced_inclusion":86400000000}}}}"#
    );
    let settled = EventKind::Settled {
        ending: channel::Ending::Consent,
        amount: Amount(paid),
        paid: Amount(paid),
        refunded: Amount(0),
    };
    let block = Block { number: 7, time: ChainTime(9) };
    let expected = Input::Chain(ChainUpdate {
        head: block.into(),
        forked_at: None,
        safe: 1,
        events: vec![ChainEvent::of_channel(block, ChannelId([1; 32]), settled)],
        next: 8,
        forced_inclusion: Span::from_hours(24),
        ..ChainUpdate::default()
    });
    assert_eq!(serde_json::from_str::<Input>(&update).expect("as it was written"), expected);
    // A head has its hash by now; before there was one it is all zeros.
    let named = update.replacen(r#""number":7,"#, &format!(r#""number":7,"hash":"{}","#, "0".repeat(64)), 1);
    assert_eq!(serde_json::to_string(&expected).expect("JSON"), named);
    for (reason, text) in [(Revert::Other, "Other"), (channel::Revert::NotOpen.into(), "NotOpen")] {
        let outcome = TxOutcome::Included { block, result: Err(reason) };
        let written = format!(r#"{{"Included":{{"block":{head},"result":{{"Err":"{text}"}}}}}}"#);
        assert_eq!(serde_json::to_string(&outcome).expect("JSON"), written);
        assert_eq!(serde_json::from_str::<TxOutcome>(&written).expect("as it was written"), outcome);
    }
    assert!(serde_json::from_str::<ChainEvent>(&format!(r#"{{"block":{head}}}"#)).is_err());
}
