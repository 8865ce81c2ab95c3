//! The owner's way to a node that runs: a Unix socket `control` in its state directory, which only its owner may open (0600).
//!
//! A connection carries one request, a line of JSON, and then lines of JSON that answer it, until the node ends it. Whoever is at the
//! other end may be anybody: lines have a cap, everything has a time limit, and there are only so many connections at once.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// The socket's name in the state directory.
const NAME: &str = "control";
/// Bytes in a line, its end included.
const LINE_BYTES: usize = 4_096;
/// Connections at once; a further one is told so and closed.
const CONNS: usize = 8;
/// How long a request may take to come, and a line to be taken.
const SPEAKING: Duration = Duration::from_secs(5);
/// How long a node may be silent.
const SILENCE: Duration = Duration::from_secs(120);

/// What an owner asks of its node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Which channels it earns on.
    Channels {},
    /// Close a channel.
    Close {
        /// Its id, or how it begins.
        channel: String,
    },
    /// Have what a channel has earned so far paid out.
    Claim {
        /// Its id, or how it begins.
        channel: String,
    },
    /// Draw what refusing tokens left for its account.
    Withdraw {
        /// A token by symbol or address; all that are sold for if nothing is said.
        token: Option<String>,
    },
}

/// Why there is no socket.
#[derive(Debug)]
pub enum BindError {
    /// A process answers there.
    Live(PathBuf),
    /// Something else has the name.
    Taken(PathBuf),
    /// The file system refused.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Live(path) => write!(
                f,
                "another process answers on {}; stop that one, or choose another state directory",
                path.display()
            ),
            Self::Taken(path) => {
                write!(f, "{} is there and no socket; move it away, the node needs the name", path.display())
            }
            Self::Io(path, error) => {
                write!(f, "the socket {} can't be made: {error}; check path and permissions", path.display())
            }
        }
    }
}

impl std::error::Error for BindError {}

/// A socket that is listened on. It goes with the value.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Makes the socket in a state directory, whose lock the caller has. What a dead process left is replaced.
    ///
    /// # Errors
    /// See [`BindError`]; nothing was changed then.
    pub fn bind(dir: &Path) -> Result<Self, BindError> {
        let path = dir.join(NAME);
        let io = |error| BindError::Io(path.clone(), error);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
            Ok(found) if !found.file_type().is_socket() => return Err(BindError::Taken(path)),
            Ok(_) => {
                if std::os::unix::net::UnixStream::connect(&path).is_ok() {
                    return Err(BindError::Live(path));
                }
            }
        }
        // In a folder of its own first, which nobody else may enter: it gets its mode before it gets its name.
        let nursery = tempfile::Builder::new().prefix(".c").rand_bytes(4).tempdir_in(dir).map_err(io)?;
        let young = nursery.path().join("s");
        let listener = UnixListener::bind(&young).map_err(io)?;
        fs::set_permissions(&young, fs::Permissions::from_mode(0o600)).map_err(io)?;
        fs::rename(&young, &path).map_err(io)?;
        Ok(Self { listener, path })
    }

    /// Answers for as long as it is polled: `answer` gets each request and whom to tell. What it is in the middle of ends with it.
    pub async fn serve<F, A>(self, answer: F)
    where
        F: Fn(Request, Talk) -> A + Clone + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let room = Arc::new(Semaphore::new(CONNS));
        let mut talks = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => match Arc::clone(&room).try_acquire_owned() {
                        Ok(permit) => {
                            let answer = answer.clone();
                            talks.spawn(async move {
                                hear(stream, answer).await;
                                drop(permit);
                            });
                        }
                        Err(_) => {
                            let line = format!("{}\n", error_line(BUSY, 75));
                            // Who does not take it at once gets nothing.
                            let _ = stream.try_write(line.as_bytes());
                        }
                    },
                    // Out of file handles, most likely: they come back.
                    Err(error) => {
                        tracing::warn!(%error, "the control socket");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = talks.join_next() => {}
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // A later start replaces what stays.
        let _ = fs::remove_file(&self.path);
    }
}

const BUSY: &str = "the node has too many owners to answer at once; try again in a moment";

fn error_line(sentence: &str, code: u8) -> Value {
    json!({ "event": "error", "error": sentence, "code": code })
}

async fn hear<F, A>(stream: UnixStream, answer: F)
where
    F: Fn(Request, Talk) -> A,
    A: Future<Output = ()>,
{
    let (reader, writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut talk = Talk { writer };
    let Ok(Ok(Some(line))) = timeout(SPEAKING, line(&mut reader)).await else {
        return talk.refuse("a request is one line of at most 4,096 bytes, sent within 5 s", 2).await;
    };
    match serde_json::from_slice(&line) {
        // Nobody hears the answer any more: what was ordered stays ordered.
        Ok(request) => tokio::select! {
            () = answer(request, talk) => {}
            () = gone(reader) => {}
        },
        Err(error) => talk.refuse(&format!("the node does not know this request: {error}"), 2).await,
    }
}

/// Ends once the other end has hung up. What it says beside its request is thrown away.
async fn gone(mut reader: BufReader<OwnedReadHalf>) {
    let mut waste = [0; 256];
    while !matches!(reader.read(&mut waste).await, Ok(0) | Err(_)) {}
}

/// A line without its end; `None` where there is none, or one that is too long.
async fn line(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES as u64).read_until(b'\n', &mut line).await?;
    Ok((line.pop() == Some(b'\n')).then_some(line))
}

/// Who asked.
#[derive(Debug)]
pub struct Talk {
    writer: OwnedWriteHalf,
}

impl Talk {
    /// Tells a line.
    ///
    /// # Errors
    /// It is not taken, or not in time.
    pub async fn tell(&mut self, value: &Value) -> io::Result<()> {
        let line = format!("{value}\n");
        match timeout(SPEAKING, self.writer.write_all(line.as_bytes())).await {
            Ok(written) => written,
            Err(_) => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// Ends with a sentence, and the code that the command is to end with.
    pub async fn refuse(&mut self, sentence: &str, code: u8) {
        // Nobody listens: nobody misses it.
        let _ = self.tell(&error_line(sentence, code)).await;
    }
}

/// Why a node was not asked.
#[derive(Debug)]
pub enum AskError {
    /// None runs in this directory.
    NotRunning,
    /// Anything else.
    Io(io::Error),
}

/// What a node answers, line by line.
#[derive(Debug)]
pub struct Answers {
    reader: BufReader<OwnedReadHalf>,
    _writer: OwnedWriteHalf,
}

/// Asks the node that runs in a state directory.
///
/// # Errors
/// None does, or it can't be asked.
pub async fn ask(dir: &Path, request: &Request) -> Result<Answers, AskError> {
    let stream = UnixStream::connect(dir.join(NAME)).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => AskError::NotRunning,
        _ => AskError::Io(error),
    })?;
    let (reader, writer) = stream.into_split();
    let mut talk = Talk { writer };
    let value = serde_json::to_value(request).expect("a request is plain data");
    // A node that is full has answered already, and closed.
    let sent = talk.tell(&value).await;
    let answers = Answers { reader: BufReader::new(reader), _writer: talk.writer };
    match sent {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(AskError::Io(error)),
        _ => Ok(answers),
    }
}

impl Answers {
    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// The node is silent, or says what is no line of JSON.
    pub async fn next(&mut self) -> io::Result<Option<Value>> {
        if let Ok(rest) = timeout(SILENCE, self.reader.fill_buf()).await.map_err(|_| ErrorKind::TimedOut)?
            && rest.is_empty()
        {
            return Ok(None);
        }
        let line = timeout(SILENCE, line(&mut self.reader)).await.map_err(|_| ErrorKind::TimedOut)??;
        let line = line.ok_or(ErrorKind::InvalidData)?;
        Ok(Some(serde_json::from_slice(&line)?))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net;

    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_a_live_one_and_anything_else_is_left() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let path = temp.path().join(NAME);
        drop(net::UnixListener::bind(&path).expect("binds"));
        let control = Control::bind(temp.path()).expect("nobody answers there");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "for its owner alone");
        assert!(matches!(Control::bind(temp.path()), Err(BindError::Live(_))));
        drop(control);
        assert!(!path.exists(), "it goes with the node");
        fs::write(&path, "mine").expect("writable");
        assert!(matches!(Control::bind(temp.path()), Err(BindError::Taken(_))));
        assert_eq!(fs::read(&path).expect("there"), b"mine");
        let entries = fs::read_dir(temp.path()).expect("there").count();
        assert_eq!(entries, 1, "nothing else is left");
    }

    /// A node that answers each request with itself.
    async fn echoing(dir: &Path) -> tokio::task::JoinHandle<()> {
        let control = Control::bind(dir).expect("binds");
        tokio::spawn(control.serve(|request, mut talk| async move {
            let _ = talk.tell(&serde_json::to_value(&request).expect("plain data")).await;
        }))
    }

    #[tokio::test]
    async fn o11_hostile_owners_neither_stall_the_node_nor_outnumber_what_it_hears() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let serving = echoing(temp.path()).await;
        let path = temp.path().join(NAME);
        let raw = async |bytes: Vec<u8>| {
            let mut stream = UnixStream::connect(&path).await.expect("it listens");
            // It may have hung up in the middle.
            let _ = stream.write_all(&bytes).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8(answer).expect("text")
        };
        // At once, not when its time is up.
        let long = timeout(SPEAKING / 2, raw(vec![b'x'; 1 << 20])).await.expect("it is not read to its end");
        assert!(long.contains("at most 4,096 bytes"));
        assert!(raw(b"{}\n".to_vec()).await.contains("does not know this request"));
        assert!(raw(b"{\"close\":{\"channel\":1}}\n".to_vec()).await.contains("does not know"));
        assert!(raw(b"[[[[[[[[\xff\n".to_vec()).await.contains("does not know"));
        // As many as there may be say nothing at all; the next is told so, and there is room again when they hang up.
        let mut silent = Vec::new();
        for _ in 0..CONNS {
            silent.push(UnixStream::connect(&path).await.expect("it listens"));
        }
        let full = async {
            loop {
                let mut answers = ask(temp.path(), &Request::Channels {}).await.expect("it listens");
                match answers.next().await {
                    Ok(Some(line)) if line["code"] == 75 => break,
                    _ => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        timeout(SPEAKING, full).await.expect("it is told");
        drop(silent);
        let room = async {
            loop {
                let mut answers = ask(temp.path(), &Request::Channels {}).await.expect("it listens");
                if matches!(answers.next().await, Ok(Some(line)) if line["channels"].is_object()) {
                    break;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SPEAKING, room).await.expect("there is room again");
        serving.abort();
    }

    #[tokio::test]
    async fn where_no_node_runs_is_told_apart() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        assert!(matches!(ask(temp.path(), &Request::Channels {}).await, Err(AskError::NotRunning)));
        drop(net::UnixListener::bind(temp.path().join(NAME)).expect("binds"));
        assert!(matches!(ask(temp.path(), &Request::Channels {}).await, Err(AskError::NotRunning)));
    }
}
