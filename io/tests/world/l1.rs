//! An L1 on Foundry's anvil with the contracts that Arbitrum chains have there, and what makes a devnet follow it.
//!
//! The contracts are those of npm's `@arbitrum/nitro-contracts`. They are under the Business Source License, so they are fetched when a
//! test wants them, into a folder of the build's, and nothing of them is kept here.

#![allow(clippy::too_many_arguments, reason = "the arguments are the contracts' own")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_sol_types::{SolCall, SolEvent, SolValue, sol};
use serde_json::{Value, json};

use super::{Running, anvil::foundry};

/// The package, its version, and what npm says that it is.
const PACKAGE: &str = "@arbitrum/nitro-contracts@3.2.0";
const INTEGRITY: &str =
    "sha512-uiwqpgLLBpym/55YBPVItkfOnkfGRh+yWyIeTxBjSn+O0nDcEwPZhB1EQSE+eTxteD9nP7ZacAi3a9f+E/17vQ==";
/// The most bytes of a message.
const DATA_MAX: u64 = 117_964;
/// How many blocks a message waits. It is two hours, not a day, because an anvil takes its time for each of them.
pub const DELAY_BLOCKS: u64 = 600;
/// Between two blocks, in seconds.
pub const SLOT: u64 = 12;
/// How many blocks the sequencer may be late. What it is later shortens what it may be late from then on.
const THRESHOLD: u64 = 30;

sol! {
    struct TimeVariation { uint256 delayBlocks; uint256 futureBlocks; uint256 delaySeconds; uint256 futureSeconds; }
    struct DelayBuffer { uint64 threshold; uint64 max; uint64 replenishRateInBasis; }

    interface Bridge {
        event MessageDelivered(
            uint256 indexed messageIndex, bytes32 indexed beforeInboxAcc, address inbox, uint8 kind, address sender,
            bytes32 messageDataHash, uint256 baseFeeL1, uint64 timestamp
        );
        function initialize(address rollup) external;
        function setDelayedInbox(address inbox, bool enabled) external;
        function setSequencerInbox(address inbox) external;
    }
    interface Inbox {
        event InboxMessageDelivered(uint256 indexed messageNum, bytes data);
        function initialize(address bridge, address sequencerInbox) external;
        function pause() external;
        function sendL2Message(bytes messageData) external;
    }
    interface SequencerInbox {
        function initialize(address bridge, TimeVariation variation, DelayBuffer buffer, address pricer) external;
        function totalDelayedMessagesRead() external view returns (uint256);
        function forceInclusion(
            uint256 read, uint8 kind, uint64[2] blockAndTime, uint256 baseFee, address sender, bytes32 dataHash
        ) external;
    }
}

/// A running L1.
pub struct L1 {
    chain: Running,
    pub rpc: String,
    /// Who deployed, and a stranger.
    owner: String,
    stranger: String,
    pub inbox: Address,
    bridge: Address,
    sequencer_inbox: Address,
}

/// The package's folder.
fn package() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nitro");
    fs::create_dir_all(&home).expect("ours");
    // One fetches, the others wait.
    let lock = File::create(home.join("lock")).expect("ours");
    lock.lock().expect("free at some time");
    let package = home.join("package");
    if !package.join("package.json").exists() {
        let packed = Command::new("npm").args(["pack", PACKAGE, "--json"]).current_dir(&home).output();
        let packed = packed.expect("Node.js, as in the README");
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let about: Value = serde_json::from_slice(&packed.stdout).expect("JSON");
        assert_eq!(about[0]["integrity"], INTEGRITY, "another package than the one that was read");
        let name = about[0]["filename"].as_str().expect("text");
        let unpacked = Command::new("tar").args(["-xzf", name]).current_dir(&home).status();
        assert!(unpacked.expect("tar").success(), "{name} can't be unpacked");
    }
    package
}

/// What creates a contract.
fn code(path: &str) -> Bytes {
    let file = package().join(path);
    let artifact: Value = serde_json::from_slice(&fs::read(&file).expect("in the package")).expect("JSON");
    let code = if artifact["bytecode"].is_string() {
        &artifact["bytecode"]
    } else {
        &artifact["bytecode"]["object"]
    };
    code.as_str().expect("hex").parse().expect("hex")
}

fn contract(name: &str) -> Bytes {
    code(&format!("build/contracts/src/bridge/{name}.sol/{name}.json"))
}

fn proxy() -> Bytes {
    let folder = "build/contracts/@openzeppelin/contracts/proxy/transparent/TransparentUpgradeableProxy.sol";
    code(&format!("{folder}/TransparentUpgradeableProxy.json"))
}

/// The code of a rollup that knows no more than its owner and its chain's id: all that the contracts ask it.
fn rollup(owner: Address, l2: u32) -> Bytes {
    let mut code = hex!("60003560e01c638da5cb5b14601b5762").to_vec();
    code.extend(&l2.to_be_bytes()[1..]);
    code.extend(hex!("60005260206000f35b73"));
    code.extend(owner.as_slice());
    code.extend(hex!("60005260206000f3"));
    code.into()
}

impl L1 {
    /// An L1 of the chain with this id, whose sequencer may let messages wait for [`DELAY_BLOCKS`].
    pub fn of(l2: u32) -> Self {
        let mut command = Command::new(foundry("anvil"));
        command.args(["--port", "0", "--accounts", "2", "--chain-id", "1337"]);
        let chain = Running::start(command);
        let rpc = format!("http://{}", chain.line("Listening on "));
        let (owner, stranger) = (String::new(), String::new());
        let (inbox, bridge, sequencer_inbox) = Default::default();
        let mut l1 = Self { chain, rpc, owner, stranger, inbox, bridge, sequencer_inbox };
        let accounts = l1.ask("eth_accounts", json!([]));
        l1.owner = accounts[0].as_str().expect("an account").to_owned();
        l1.stranger = accounts[1].as_str().expect("another").to_owned();
        l1.deploy(l2);
        l1
    }

    fn deploy(&mut self, l2: u32) {
        let reader = self.create(&code("out/yul/Reader4844.yul/Reader4844.json"), &[]);
        let max = U256::from(DATA_MAX);
        self.bridge = self.create_behind_proxy(&contract("Bridge"), &[]);
        self.inbox = self.create_behind_proxy(&contract("Inbox"), &max.abi_encode());
        let of_ether = (max, reader, false, true).abi_encode_params();
        self.sequencer_inbox = self.create_behind_proxy(&contract("SequencerInbox"), &of_ether);

        let rollup_at = Address::repeat_byte(0x77);
        let owner: Address = self.owner.parse().expect("an address");
        self.ask("anvil_setCode", json!([rollup_at, rollup(owner, l2)]));
        let (inbox, bridge, sequencer_inbox) = (self.inbox, self.bridge, self.sequencer_inbox);
        self.call(&self.owner, bridge, &Bridge::initializeCall { rollup: rollup_at });
        let seconds = DELAY_BLOCKS * SLOT;
        let variation = TimeVariation {
            delayBlocks: U256::from(DELAY_BLOCKS),
            futureBlocks: U256::from(64),
            delaySeconds: U256::from(seconds),
            futureSeconds: U256::from(3_600),
        };
        let buffer = DelayBuffer { threshold: THRESHOLD, max: DELAY_BLOCKS, replenishRateInBasis: 500 };
        let pricer = Address::ZERO;
        self.call(
            &self.owner,
            sequencer_inbox,
            &SequencerInbox::initializeCall { bridge, variation, buffer, pricer },
        );
        self.call(&self.owner, inbox, &Inbox::initializeCall { bridge, sequencerInbox: sequencer_inbox });
        self.call(&self.owner, bridge, &Bridge::setDelayedInboxCall { inbox, enabled: true });
        self.call(&self.owner, bridge, &Bridge::setSequencerInboxCall { inbox: sequencer_inbox });
    }

    fn create_behind_proxy(&self, code: &Bytes, arguments: &[u8]) -> Address {
        let logic = self.create(code, arguments);
        // Nobody is its admin, who could call nothing else.
        let behind = (logic, Address::repeat_byte(0xad), Bytes::new()).abi_encode_params();
        self.create(&proxy(), &behind)
    }

    fn create(&self, code: &Bytes, arguments: &[u8]) -> Address {
        let data = hex::encode_prefixed([code, arguments].concat());
        let receipt = self.transact(json!({ "from": self.owner, "data": data, "gas": "0x989680" }));
        receipt["contractAddress"].as_str().expect("created").parse().expect("an address")
    }

    fn call<C: SolCall>(&self, from: &str, to: Address, call: &C) -> Value {
        let data = hex::encode_prefixed(call.abi_encode());
        self.transact(json!({ "from": from, "to": to, "data": data, "gas": "0x989680" }))
    }

    /// Makes a transaction of an account that anvil signs for, in a block of its own; its receipt.
    fn transact(&self, tx: Value) -> Value {
        let hash = self.ask("eth_sendTransaction", json!([tx]));
        assert!(hash.is_string(), "a transaction is refused: {hash}");
        for _ in 0..1_000 {
            let receipt = self.ask("eth_getTransactionReceipt", json!([hash]));
            if receipt.is_object() {
                assert_eq!(receipt["status"], "0x1", "a transaction was reverted: {receipt}");
                return receipt;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("a transaction is in no block");
    }

    pub fn ask(&self, method: &str, params: Value) -> Value {
        super::ask(&self.rpc, method, params)
    }

    /// Gives an account ether.
    pub fn fund(&self, account: &str, wei: u128) {
        self.ask("anvil_setBalance", json!([account, U256::from(wei)]));
    }

    /// How many transactions of an account are in blocks.
    pub fn nonce(&self, account: &str) -> u64 {
        number(&self.ask("eth_getTransactionCount", json!([account, "latest"])))
    }

    /// Uses up a nonce of an account on it, as its owner would by hand.
    pub fn use_nonce(&self, account: &str) {
        self.ask("anvil_impersonateAccount", json!([account]));
        self.transact(json!({ "from": account, "to": account, "value": "0x0" }));
        self.ask("anvil_stopImpersonatingAccount", json!([account]));
    }

    /// The gas that the only transaction of a block took.
    pub fn gas(&self, block: u64) -> u64 {
        let receipts = self.ask("eth_getBlockReceipts", json!([U256::from(block)]));
        assert_eq!(receipts.as_array().map(Vec::len), Some(1), "{receipts}");
        number(&receipts[0]["gasUsed"])
    }

    /// The newest block.
    pub fn head(&self) -> u64 {
        number(&self.ask("eth_blockNumber", json!([])))
    }

    /// Lets so many blocks come, each when it should.
    pub fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([U256::from(blocks), U256::from(SLOT)]));
    }

    /// Lets a block come so much later.
    pub fn pass(&self, secs: u64) {
        self.ask("evm_increaseTime", json!([secs]));
        self.ask("evm_mine", json!([]));
    }

    /// Takes no messages any more.
    pub fn pause(&self) {
        self.call(&self.owner, self.inbox, &Inbox::pauseCall {});
    }

    /// A stranger's message, which does nothing on the L2; its number.
    pub fn strange_message(&self) -> u64 {
        self.call(&self.stranger, self.inbox, &Inbox::sendL2MessageCall { messageData: vec![0].into() });
        self.messages().last().expect("just sent").0
    }

    /// A stranger forces the inbox up to and including this message.
    pub fn strange_force(&self, number: u64) {
        let (_, block, event) = self.messages().into_iter().nth(number as usize).expect("there");
        let call = SequencerInbox::forceInclusionCall {
            read: U256::from(number + 1),
            kind: event.kind,
            blockAndTime: [block, event.timestamp],
            baseFee: event.baseFeeL1,
            sender: event.sender,
            dataHash: event.messageDataHash,
        };
        self.call(&self.stranger, self.sequencer_inbox, &call);
    }

    /// How many messages batches have taken.
    pub fn read(&self) -> u64 {
        let data = hex::encode_prefixed(SequencerInbox::totalDelayedMessagesReadCall {}.abi_encode());
        number(&self.ask("eth_call", json!([{ "to": self.sequencer_inbox, "data": data }, "latest"])))
    }

    /// Every message, with its number and its block.
    pub fn messages(&self) -> Vec<(u64, u64, Bridge::MessageDelivered)> {
        let logs = self.logs(self.bridge, Bridge::MessageDelivered::SIGNATURE_HASH, None);
        logs.iter()
            .map(|log| {
                let topics = [topic(log, 0), topic(log, 1), topic(log, 2)];
                let event = Bridge::MessageDelivered::decode_raw_log(topics, &data(log)).expect("a message");
                (event.messageIndex.to(), number(&log["blockNumber"]), event)
            })
            .collect()
    }

    fn logs(&self, address: Address, signature: B256, number: Option<u64>) -> Vec<Value> {
        let number = number.map(|number| B256::from(U256::from(number)));
        let filter = json!({ "address": address, "topics": [signature, number], "fromBlock": "0x0" });
        self.ask("eth_getLogs", json!([filter])).as_array().expect("logs").clone()
    }

    /// What a retryable ticket is to do: who calls whom with what, and with how much gas. `None` for another message.
    fn ticket(&self, number: u64, event: &Bridge::MessageDelivered) -> Option<Value> {
        if event.kind != 9 {
            return None;
        }
        let logs = self.logs(self.inbox, Inbox::InboxMessageDelivered::SIGNATURE_HASH, Some(number));
        let content = Bytes::abi_decode(&data(&logs[0])).expect("its content");
        assert_eq!(alloy_primitives::keccak256(&content), event.messageDataHash);
        let word = |at: usize| U256::from_be_slice(&content[at * 32..][..32]);
        let (to, length) = (Address::from_word(word(0).into()), word(8).to::<usize>());
        // What is paid covers what is asked for, or the L2 would not have it.
        assert!(word(2) >= word(3) + word(1) + word(6) * word(7));
        assert_eq!(content.len(), 9 * 32 + length);
        let input = hex::encode_prefixed(&content[9 * 32..]);
        Some(json!([U256::from(number), event.sender, to, input, word(6)]))
    }

    /// Lets a devnet execute what batches have taken from message `from` on, as a node of the L2 does; the first that they have not taken.
    pub fn follow(&self, devnet: &str, from: u64) -> u64 {
        let read = self.read();
        for (number, _, event) in self.messages() {
            if !(from..read).contains(&number) {
                continue;
            }
            if let Some(ticket) = self.ticket(number, &event) {
                assert!(super::ask(devnet, "decdn_fromL1", ticket).is_string(), "the devnet takes it");
            }
        }
        read
    }
}

fn number(hex: &Value) -> u64 {
    let hex = hex.as_str().expect("a number");
    hex.parse::<U256>().expect("a number").to()
}

fn topic(log: &Value, at: usize) -> B256 {
    log["topics"][at].as_str().expect("a topic").parse().expect("a hash")
}

fn data(log: &Value) -> Bytes {
    log["data"].as_str().expect("data").parse().expect("hex")
}
