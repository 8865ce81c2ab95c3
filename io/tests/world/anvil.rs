//! A world on Foundry's anvil: the contracts deployed by transactions, as on any chain.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_sol_types::{SolCall, SolConstructor};
use decdn_contracts::{
    Genesis,
    bindings::sol::{NodeList, NodeTakesAll, PaymentChannel, TestToken},
};
use serde_json::{Value, json};

use super::{Running, World};

/// Who deployed, and where the registry is.
pub struct Owner {
    account: String,
    registry: Address,
}

/// A program of Foundry at the version of contracts/package.json, installed from npm where it is missing.
pub fn foundry(name: &str) -> PathBuf {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts");
    let program = contracts.join("node_modules/.bin").join(name);
    // One installs, the others wait.
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("ours");
    let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm.lock")).expect("ours");
    lock.lock().expect("free at some time");
    if !program.exists() {
        let mut install = Command::new("node");
        let installed = install.args(["tools/artifacts.mjs", "install"]).current_dir(&contracts).status();
        assert!(installed.expect("Node.js, as in the README").success(), "npm can't install {name}");
    }
    assert!(program.exists(), "npm has {name} for linux x64 only");
    program
}

impl World {
    /// A world whose chain is an anvil with a block per second and one per transaction.
    pub fn on_anvil() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(foundry("anvil"));
        command.args(["--port", "0", "--block-time", "1", "--mixed-mining", "--accounts", "1"]);
        let chain = Running::start(command);
        let rpc = format!("http://{}", chain.line("Listening on "));
        let owner = Owner { account: String::new(), registry: Address::ZERO };
        let (contract, token) = (String::new(), String::new());
        let mut world = Self { home, chain, rpc, contract, token, owner: Some(owner) };
        world.deploy();
        // Nobody's clock jumps with this chain, so whoever waits for it has to look often.
        world.write("decdn.toml", b"[dispute_monitor]\npoll_interval_seconds = 1\n");
        world
    }

    /// What genesis does on a devnet.
    fn deploy(&mut self) {
        let account = self.ask("eth_accounts", json!([]))[0].as_str().expect("one account").to_owned();
        let owner: Address = account.parse().expect("an address");
        let registry =
            self.create(&account, &NodeList::BYTECODE, &NodeList::constructorCall { owner }.abi_encode());
        let fee_split = self.create(&account, &NodeTakesAll::BYTECODE, &[]);
        let channels = PaymentChannel::constructorCall {
            owner,
            registry_: registry,
            feeSplit_: fee_split,
            disputeWindowSecs: Genesis::standard().dispute_window_secs,
        };
        let contract = self.create(&account, &PaymentChannel::BYTECODE, &channels.abi_encode());
        let (name_, symbol_) = ("USDC".to_owned(), "USDC".to_owned());
        let test_token = TestToken::constructorCall { name_, symbol_, decimals_: 6 };
        let token = self.create(&account, &TestToken::BYTECODE, &test_token.abi_encode());
        let allow = PaymentChannel::setTokenAllowedCall { token, allowed: true }.abi_encode();
        self.transact(json!({ "from": account, "to": contract, "data": hex::encode_prefixed(allow) }));
        (self.contract, self.token) = (contract.to_string(), token.to_string());
        self.owner = Some(Owner { account, registry });
    }

    fn create(&self, from: &str, code: &Bytes, arguments: &[u8]) -> Address {
        let data = hex::encode_prefixed([code, arguments].concat());
        let receipt = self.transact(json!({ "from": from, "data": data, "gas": "0x989680" }));
        receipt["contractAddress"].as_str().expect("created").parse().expect("an address")
    }

    /// Makes a transaction of an account that anvil signs for; its receipt.
    fn transact(&self, tx: Value) -> Value {
        let hash = self.ask("eth_sendTransaction", json!([tx]));
        assert!(hash.is_string(), "{tx} is refused");
        for _ in 0..500 {
            let receipt = self.ask("eth_getTransactionReceipt", json!([hash]));
            if receipt.is_object() {
                assert_eq!(receipt["status"], "0x1", "{tx} was reverted");
                return receipt;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{tx} is in no block");
    }
}

impl Owner {
    /// Gives an account tokens, and ether for gas, which a devnet doesn't charge.
    pub fn mint(&self, world: &World, key: &str, tokens: &str) -> String {
        let to = account(world, key);
        world.ask("anvil_setBalance", json!([to, "0x8ac7230489e80000"]));
        let units: u64 = tokens.parse().expect("whole tokens");
        let mint = TestToken::mintCall { to, amount: U256::from(units * 1_000_000) };
        self.call(world, world.token.parse().expect("an address"), mint.abi_encode());
        String::new()
    }

    /// Puts a node into the registry.
    pub fn list(&self, world: &World, key: &str) -> String {
        let operator = account(world, key);
        world.ask("anvil_setBalance", json!([operator, "0x8ac7230489e80000"]));
        let node: B256 = world.ok(&["key", "show", key, "--node"]).parse().expect("a NodeId");
        let set = NodeList::setCall { operator, nodeId: node, active: true };
        self.call(world, self.registry, set.abi_encode());
        String::new()
    }

    /// Lets a block come so much later.
    pub fn warp(&self, world: &World, secs: u64) {
        world.ask("evm_increaseTime", json!([secs]));
        world.ask("evm_mine", json!([]));
    }

    fn call(&self, world: &World, to: Address, data: Vec<u8>) {
        world.transact(json!({ "from": self.account, "to": to, "data": hex::encode_prefixed(data) }));
    }
}

fn account(world: &World, key: &str) -> Address {
    world.ok(&["key", "show", key, "--account"]).parse().expect("an account")
}
