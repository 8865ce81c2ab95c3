//! `decdn client`: buy, and look after the channels that were paid on.

mod buyer;
mod channels;
mod deliver;
mod fetch;
mod hear;
mod money;

use clap::Subcommand;

use super::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Buy a file by its hash, pay for it byte by byte, and close the channel.
    Fetch(Box<fetch::FetchArgs>),
    /// List the channels that are not settled.
    Channels(channels::ListArgs),
    /// Close channels: together with the node if it consents, else alone.
    Close(Box<channels::CloseArgs>),
    /// Draw what a refusing token has left for the account.
    Withdraw(Box<money::WithdrawArgs>),
    /// Close a channel, whosever it is, whose token is allowed no more; nothing is on record of it then.
    ForceClose(Box<money::ForceCloseArgs>),
    /// Watch over channels until all of them have settled: dispute, and settle when windows end.
    Monitor(Box<channels::MonitorArgs>),
}

pub(super) async fn run(command: ClientCommand) -> Result<(), Failure> {
    match command {
        ClientCommand::Fetch(args) => fetch::run(*args).await,
        ClientCommand::Channels(args) => channels::list(args),
        ClientCommand::Close(args) => channels::close(*args).await,
        ClientCommand::Withdraw(args) => money::withdraw(*args).await,
        ClientCommand::ForceClose(args) => money::force_close(*args).await,
        ClientCommand::Monitor(args) => channels::monitor(*args).await,
    }
}
