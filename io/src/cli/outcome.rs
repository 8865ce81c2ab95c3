//! How a command ends: with a code for scripts and a sentence for people.

use std::{
    fmt, io,
    process::ExitCode,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use decdn_store::StoreError;
use tokio::{
    signal::unix::{self, Signal, SignalKind},
    sync::watch,
};

use crate::{chain::SurveyError, config::BadConfig, keys::KeyError, party::StartError, store::DirError};

/// Why a command ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// Bad input: one sentence that says what, where, and what to do.
    Input(String),
    /// It can't be done now; later the same command may do.
    Again(String),
    /// Somebody stopped it.
    Interrupted(String),
    /// Anything else.
    Failed(String),
}

impl Failure {
    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Input(_) => 2,
            Self::Again(_) => 75,
            Self::Interrupted(_) => 130,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(sentence) | Self::Failed(sentence) | Self::Again(sentence) => {
                write!(f, "error: {sentence}")
            }
            Self::Interrupted(sentence) => f.write_str(sentence),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(super) fn failed(error: impl fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

pub(super) fn input(error: impl fmt::Display) -> Failure {
    Failure::Input(error.to_string())
}

pub(super) fn surveyed(error: SurveyError) -> Failure {
    match error {
        SurveyError::Away(why) => Failure::Again(why),
        SurveyError::Wrong(why) => Failure::Input(why),
    }
}

pub(super) fn keyed(error: KeyError) -> Failure {
    match error {
        KeyError::Io(..) => failed(error),
        _ => input(error),
    }
}

pub(super) fn configured(error: BadConfig) -> Failure {
    input(error)
}

/// Of a state directory, an endpoint, or a role that would not start.
pub(super) fn started(error: StartError) -> Failure {
    match error.downcast_ref::<DirError>() {
        Some(DirError::Locked(_)) => Failure::Again(error.to_string()),
        Some(DirError::Newer { .. } | DirError::BadVersion(_)) => input(error),
        _ => match error.downcast_ref::<StoreError>() {
            Some(StoreError::Disk { .. }) => {
                failed(format!("{error}; check the disk, its room and its permissions"))
            }
            _ => failed(error),
        },
    }
}

/// Ends when somebody wants the program to: Ctrl-C, or SIGTERM. It listens from the first call on, whether or not that
/// future is awaited, and whoever asks after it happened is told too, so that nothing is lost before or between those that
/// wait.
pub(super) fn interrupted() -> impl Future<Output = ()> {
    static HEARD: OnceLock<watch::Receiver<bool>> = OnceLock::new();
    let mut heard = HEARD.get_or_init(listen).clone();
    async move {
        // The sender goes only after it has told.
        let _ = heard.wait_for(|heard| *heard).await;
    }
}

fn listen() -> watch::Receiver<bool> {
    let (tell, heard) = watch::channel(false);
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(unix::signal);
    tokio::spawn(async move {
        tokio::select! {
            () = told(interrupt) => {}
            () = told(terminate) => {}
        }
        tell.send_replace(true);
    });
    heard
}

async fn told(signal: io::Result<Signal>) {
    match signal {
        Ok(mut signal) => _ = signal.recv().await,
        Err(_) => std::future::pending().await,
    }
}

/// Set once a command has something to end with care.
static IS_CAREFUL: AtomicBool = AtomicBool::new(false);

/// As [`interrupted`], for a command that from here on ends with care: nobody drops it any more.
pub(super) fn carefully() -> impl Future<Output = ()> {
    IS_CAREFUL.store(true, Ordering::Relaxed);
    interrupted()
}

/// Work that may be dropped until it asks to be told of interruptions itself.
pub(super) async fn until_careful<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let told = interrupted();
    let early = async {
        told.await;
        if IS_CAREFUL.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        result = work => result,
        () = early => Err(Failure::Interrupted("interrupted before anything had begun".to_owned())),
    }
}

/// Work that may be dropped at any point.
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let told = interrupted();
    tokio::select! {
        result = work => result,
        () = told => Err(Failure::Interrupted("interrupted".to_owned())),
    }
}
