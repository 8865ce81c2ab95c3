//! Values on a byte stream: a length of four bytes, then postcard.

use std::io::{Error, ErrorKind, Result};

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const BYTES_MAX: usize = 1 << 16;

/// Writes one value.
pub async fn write<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), value: &T) -> Result<()> {
    let mut frame = vec![0; 4];
    frame.extend(postcard::to_allocvec(value).map_err(invalid)?);
    let length = u32::try_from(frame.len() - 4).map_err(invalid)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    to.write_all(&frame).await
}

/// Reads one value.
pub async fn read<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> Result<T> {
    let length = from.read_u32().await? as usize;
    if length > BYTES_MAX {
        return Err(invalid("a frame longer than any input"));
    }
    let mut value = vec![0; length];
    from.read_exact(&mut value).await?;
    postcard::from_bytes(&value).map_err(invalid)
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}
