//! A stream's outbound half: messages and content into frames. Content goes out as it was read; only the 64-byte
//! proofs and the frame headers between are put together here.

use std::{collections::VecDeque, io, sync::Arc};

use ::iroh::endpoint::{SendStream, VarInt, WriteError};
use bytes::{Bytes, BytesMut};
use decdn_driver::Outgoing;
use decdn_engine::{
    blob::{Encoder, Part},
    ids::StreamId,
    io::Input,
    limits::{CHUNK_BYTES, SEND_RANGES},
    wire::{Code, Message, frame},
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::iroh::{Credit, Events};
use crate::store::{Blob, BlobStore};

/// Messages that may wait on one stream. No honest exchange comes near it.
pub(super) const MESSAGES_MAX: usize = 64;
/// Items of a stream's own lane that may wait.
pub(super) const ITEMS_MAX: usize = MESSAGES_MAX + SEND_RANGES as usize;

/// What goes out in the order of the stream's own lane.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a stream's queue holds a few dozen at most")]
pub(super) enum Item {
    Message(Message),
    Range(Outgoing),
    Finish,
}

pub(super) struct Writer {
    pub(super) stream: StreamId,
    pub(super) send: SendStream,
    pub(super) events: Events,
    /// From channels' lanes: may pass content.
    pub(super) urgent: mpsc::Receiver<Message>,
    pub(super) items: mpsc::Receiver<Item>,
    pub(super) blobs: BlobStore,
}

/// A range on its way from the disk.
type Reading = JoinHandle<io::Result<Vec<u8>>>;

/// Where the stream's one encoding is.
struct Encoding {
    blob: Arc<Blob>,
    walk: Encoder,
}

enum Broken {
    /// The stream or the connection is gone.
    Stream(Option<Code>),
    /// The driver is gone.
    Driver,
}

impl Writer {
    pub(super) async fn run(&mut self) {
        match self.write().await {
            Ok(()) | Err(Broken::Driver | Broken::Stream(None)) => {}
            Err(Broken::Stream(Some(code))) => {
                let input = Input::StreamClosed { stream: self.stream, code: Some(code) };
                let _ = self.events.send((input, Credit::None)).await;
            }
        }
    }

    async fn write(&mut self) -> Result<(), Broken> {
        let mut encoding: Option<Encoding> = None;
        let mut ranges: VecDeque<(Outgoing, Option<Reading>)> = VecDeque::new();
        let mut is_finishing = false;
        loop {
            // Everything that is there already, without waiting: ranges, so that the next one is being read.
            while ranges.len() < usize::from(SEND_RANGES) {
                match self.items.try_recv() {
                    Ok(Item::Range(range)) => ranges.push_back((range, None)),
                    Ok(item) if ranges.is_empty() => is_finishing |= self.write_item(item).await?,
                    Ok(item) => {
                        // After content: that goes out first.
                        self.write_ranges(&mut ranges, &mut encoding).await?;
                        is_finishing |= self.write_item(item).await?;
                    }
                    Err(_) => break,
                }
            }
            if !ranges.is_empty() {
                self.write_range(&mut ranges, &mut encoding).await?;
                continue;
            }
            self.write_urgent().await?;
            if is_finishing {
                // A stream that was closed or stopped meanwhile is finished as well.
                let _ = self.send.finish();
                return Ok(());
            }
            tokio::select! {
                biased;
                message = self.urgent.recv() => self.write_message(&message.ok_or(Broken::Driver)?).await?,
                item = self.items.recv() => match item.ok_or(Broken::Driver)? {
                    Item::Range(range) => ranges.push_back((range, None)),
                    item => is_finishing |= self.write_item(item).await?,
                },
                stopped = self.send.stopped() => {
                    return Err(Broken::Stream(stopped.ok().flatten().map(code_of)));
                }
            }
        }
    }

    /// Whether the item was the last one.
    async fn write_item(&mut self, item: Item) -> Result<bool, Broken> {
        match item {
            Item::Message(message) => self.write_message(&message).await.map(|()| false),
            Item::Finish => Ok(true),
            Item::Range(_) => unreachable!("ranges are taken out before"),
        }
    }

    async fn write_message(&mut self, message: &Message) -> Result<(), Broken> {
        let mut frame = Vec::new();
        frame::encode(message, &mut frame);
        self.send.write_all(&frame).await.map_err(broken)
    }

    async fn write_urgent(&mut self) -> Result<(), Broken> {
        while let Ok(message) = self.urgent.try_recv() {
            self.write_message(&message).await?;
        }
        Ok(())
    }

    async fn write_ranges(
        &mut self,
        ranges: &mut VecDeque<(Outgoing, Option<Reading>)>,
        encoding: &mut Option<Encoding>,
    ) -> Result<(), Broken> {
        while !ranges.is_empty() {
            self.write_range(ranges, encoding).await?;
        }
        Ok(())
    }

    /// Sends the oldest range, while the one after it is being read.
    async fn write_range(
        &mut self,
        ranges: &mut VecDeque<(Outgoing, Option<Reading>)>,
        encoding: &mut Option<Encoding>,
    ) -> Result<(), Broken> {
        let Some((range, reading)) = ranges.pop_front() else { return Ok(()) };
        let stream = self.stream;
        let content = match reading {
            Some(reading) => reading.await,
            None => match read(&self.blobs, range) {
                Ok(reading) => reading.await,
                Err(error) => Ok(Err(error)),
            },
        };
        if let Some((next, reading @ None)) = ranges.front_mut() {
            *reading = read(&self.blobs, *next).ok();
        }
        let sent = match content {
            Ok(Ok(content)) => self.write_content(range, Bytes::from(content), encoding).await?,
            // The blob can't be read, or the thread that read it was cut off.
            Ok(Err(_)) | Err(_) => false,
        };
        let input = if sent { Input::RangeSent { stream } } else { Input::RangeFailed { stream } };
        self.events.send((input, Credit::None)).await.map_err(|_| Broken::Driver)
    }

    /// False if the blob is gone or shorter than it was.
    async fn write_content(
        &mut self,
        range: Outgoing,
        content: Bytes,
        encoding: &mut Option<Encoding>,
    ) -> Result<bool, Broken> {
        let end = range.offset + range.bytes;
        if encoding.as_ref().is_none_or(|encoding| encoding.walk.position() != range.offset) {
            let Ok(blob) = self.blobs.get(range.hash) else { return Ok(false) };
            let total = blob.outboard.total_bytes();
            let Ok(walk) = Encoder::new(total, range.offset, total.saturating_sub(range.offset)) else {
                return Ok(false);
            };
            *encoding = Some(Encoding { blob, walk });
        }
        let Some(Encoding { blob, walk }) = encoding else { return Ok(false) };
        while let Some((bytes, until)) = walk.chunk(end, CHUNK_BYTES as u64) {
            self.write_urgent().await?;
            let mut parts = Vec::with_capacity(40);
            let mut header = Vec::with_capacity(16);
            frame::encode_chunk_header(usize::try_from(bytes).expect("a chunk fits in memory"), &mut header);
            let mut glue = BytesMut::with_capacity(4_096);
            glue.extend_from_slice(&header);
            while let Some(part) = walk.next_until(until) {
                match part {
                    Part::Proof(node) => {
                        let Some(pair) = blob.outboard.pair(node) else { return Ok(false) };
                        glue.extend_from_slice(pair);
                    }
                    Part::Content { offset, bytes } => {
                        if !glue.is_empty() {
                            parts.push(glue.split().freeze());
                        }
                        let from = usize::try_from(offset - range.offset).expect("a range fits in memory");
                        let to = from + usize::try_from(bytes).expect("a group fits in memory");
                        parts.push(content.slice(from..to));
                    }
                }
            }
            self.send.write_all_chunks(&mut parts).await.map_err(broken)?;
        }
        Ok(Encoder::position(walk) >= end)
    }
}

fn read(blobs: &BlobStore, range: Outgoing) -> io::Result<Reading> {
    let blob = blobs.get(range.hash)?;
    let bytes = usize::try_from(range.bytes).map_err(io::Error::other)?;
    Ok(tokio::task::spawn_blocking(move || blob.read(range.offset, bytes)))
}

fn code_of(code: VarInt) -> Code {
    Code::from_wire(u32::try_from(code.into_inner()).unwrap_or(u32::MAX))
}

fn broken(error: WriteError) -> Broken {
    match error {
        WriteError::Stopped(code) => Broken::Stream(Some(code_of(code))),
        _ => Broken::Stream(None),
    }
}
