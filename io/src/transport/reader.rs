//! A stream's inbound half: frames into messages, chunks through the verifier into the download's file.

use std::sync::Arc;

use ::iroh::endpoint::{ReadError, RecvStream};
use decdn_driver::Incoming;
use decdn_engine::{
    blob::Verifier,
    ids::StreamId,
    io::Input,
    wire::{
        Code, Protocol,
        frame::{Decoder, Piece},
    },
};
use tokio::sync::{Semaphore, mpsc};

use super::iroh::{Credit, Events};
use crate::store::{BlobStore, Download};

/// How much is read at once: a chunk and its proofs, so that most groups need no copy.
const READ_BYTES: usize = 512 * 1024;
/// Inputs of one stream whose consequences are not under way (the driver contract's point 7).
pub const CREDITS: u32 = 64;

pub(super) struct Reader {
    pub(super) stream: StreamId,
    pub(super) protocol: Protocol,
    pub(super) recv: RecvStream,
    pub(super) events: Events,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    pub(super) blobs: BlobStore,
}

/// Content that is expected on the stream.
struct Content {
    verifier: Verifier,
    download: Arc<Download>,
}

/// The stream is at its end, for the reader.
struct End(Option<Input>);

impl Reader {
    /// Whether the peer has ended the stream and the engine has heard of it.
    pub(super) async fn run(&mut self) -> bool {
        let credits = Arc::new(Semaphore::new(CREDITS as usize));
        let End(last) = match self.read(&credits).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        let Some(input) = last else { return false };
        let is_closed = matches!(input, Input::StreamClosed { .. });
        // Nobody listens any more only when the driver is gone.
        let is_heard = self.feed(&credits, input).await.is_ok();
        is_closed && is_heard && credits.acquire_many(CREDITS).await.is_ok()
    }

    async fn feed(&self, credits: &Arc<Semaphore>, input: Input) -> Result<(), End> {
        let permit = credits.clone().acquire_owned().await.map_err(|_| End(None))?;
        self.events.send((input, Credit::Stream(permit))).await.map_err(|_| End(None))
    }

    fn malformed(&self, code: Code) -> End {
        End(Some(Input::Malformed { stream: self.stream, code }))
    }

    async fn read(&mut self, credits: &Arc<Semaphore>) -> Result<std::convert::Infallible, End> {
        let mut decoder = Decoder::new(self.protocol);
        let mut content: Option<Content> = None;
        // A stream of messages only never needs the large buffer.
        let mut buffer = vec![0; 4 * 1024];
        loop {
            let bytes = match self.recv.read(&mut buffer).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) if decoder.is_between_frames() => {
                    return Err(End(Some(Input::StreamClosed { stream: self.stream, code: None })));
                }
                Ok(None) => return Err(self.malformed(Code::Malformed)),
                Err(ReadError::Reset(code)) => {
                    let code = u32::try_from(code.into_inner()).unwrap_or(u32::MAX);
                    let code = Some(Code::from_wire(code));
                    return Err(End(Some(Input::StreamClosed { stream: self.stream, code })));
                }
                // Stopped by our own side, or the connection is gone, which is said elsewhere.
                Err(_) => return Err(End(None)),
            };
            let mut rest = &buffer[..bytes];
            while let Some(piece) = decoder.next(&mut rest).map_err(|fault| self.malformed(fault.code()))? {
                match piece {
                    Piece::Message(message) => {
                        self.feed(credits, Input::Message { stream: self.stream, message }).await?;
                    }
                    Piece::Chunk { bytes, last } => {
                        if content.is_none() {
                            content = Some(self.expect_content(credits).await?);
                        }
                        let content = content.as_mut().expect("set just now");
                        self.take_content(credits, content, bytes, last).await?;
                    }
                }
            }
            if content.is_some() && buffer.len() < READ_BYTES {
                buffer = vec![0; READ_BYTES];
            }
        }
    }

    /// What content to expect. The engine says so while it handles the response before it; once it has handled
    /// everything and said nothing, there is no content to come.
    async fn expect_content(&mut self, credits: &Arc<Semaphore>) -> Result<Content, End> {
        let all_handled = credits.clone().acquire_many_owned(CREDITS);
        let what = tokio::select! {
            biased;
            what = self.incoming.recv() => what,
            _ = all_handled => self.incoming.try_recv().ok(),
        };
        let what = what.ok_or_else(|| self.malformed(Code::Malformed))?;
        let verifier = Verifier::new(what.hash, what.total_bytes, what.offset, what.bytes)
            .map_err(|_| self.malformed(Code::Malformed))?;
        let download = self.blobs.download(what.fetch).map_err(|_| self.lost())?;
        Ok(Content { verifier, download })
    }

    /// The disk does not take what came: nothing of it counts, and the next barrier that asks for it fails.
    fn lost(&self) -> End {
        End(Some(Input::StreamClosed { stream: self.stream, code: None }))
    }

    async fn take_content(
        &self,
        credits: &Arc<Semaphore>,
        content: &mut Content,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<(), End> {
        if content.verifier.is_complete() {
            return Err(self.malformed(Code::Malformed));
        }
        let mut written = Ok(());
        let verdicts = content.verifier.push(bytes, &mut |offset, group| {
            if written.is_ok() {
                written = content.download.write(offset, group);
            }
        });
        written.map_err(|_| self.lost())?;
        for verdict in verdicts {
            self.feed(credits, Input::Verdict { stream: self.stream, verdict }).await?;
        }
        if verdicts.bad.is_some() {
            return Err(End(None));
        }
        if is_last && !content.verifier.is_at_boundary() {
            return Err(self.malformed(Code::Malformed));
        }
        Ok(())
    }
}
