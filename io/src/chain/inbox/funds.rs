//! Whether the dispute account can pay, for as long as the program runs: fees rise, and each dispute takes some of it (L2).

use std::{pin::pin, time::Duration};

use futures::{Stream, stream};
use tokio::time::sleep;

use super::DelayedInbox;
use crate::chain::SurveyError;

/// How often to look.
const LOOK: Duration = Duration::from_secs(10 * 60);

/// Whether the dispute account can pay one dispute on the L1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Funds {
    /// It can.
    Enough,
    /// It can't: how much is missing, and where to send it. Until then no credit is to be opened.
    Missing(String),
}

impl DelayedInbox {
    /// Whether the dispute account can pay: what is found first, and each change from then on. An endpoint that does not answer changes
    /// nothing.
    pub fn funds(&self) -> impl Stream<Item = Funds> + Send + 'static + use<> {
        let inbox = self.clone();
        changes(LOOK, move || {
            let inbox = inbox.clone();
            async move { inbox.check_funds().await }
        })
    }
}

fn changes<F>(every: Duration, look: impl FnMut() -> F + Send + 'static) -> impl Stream<Item = Funds> + Send
where
    F: Future<Output = Result<(), SurveyError>> + Send,
{
    stream::unfold((None, look), move |(last, mut look)| async move {
        let mut is_first = last.is_none();
        loop {
            if !std::mem::take(&mut is_first) {
                sleep(every).await;
            }
            let found = match pin!(look()).await {
                Ok(()) => Funds::Enough,
                Err(SurveyError::Wrong(why)) => Funds::Missing(why),
                Err(SurveyError::Away(_)) => continue,
            };
            // What is missing changes with each block's fee, and is told once.
            let is_news =
                last.as_ref().is_none_or(|last: &Funds| (*last == Funds::Enough) != (found == Funds::Enough));
            if is_news {
                return Some((found.clone(), (Some(found), look)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn l2_an_account_that_can_pay_no_more_is_told_of_once_and_again_when_it_can() {
        let missing = |why: &str| Err(SurveyError::Wrong(why.to_owned()));
        let away = || Err(SurveyError::Away("the L1 is away".to_owned()));
        let mut answers = vec![
            away(),
            Ok(()),
            Ok(()),
            missing("send it 1 ether"),
            missing("send it 2 ether"),
            away(),
            missing("send it 2 ether"),
            Ok(()),
            missing("send it 3 ether"),
        ]
        .into_iter();
        let look = move || std::future::ready(answers.next().unwrap_or_else(|| panic!("asked too often")));
        let told: Vec<Funds> = changes(LOOK, look).take(4).collect().await;
        let missing = |why: &str| Funds::Missing(why.to_owned());
        assert_eq!(
            told,
            [Funds::Enough, missing("send it 1 ether"), Funds::Enough, missing("send it 3 ether")]
        );
    }
}
