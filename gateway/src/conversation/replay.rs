//! The events of a response, sealed as its content is.

use super::events::{Numbered, Standing};
use super::{ConversationError, Conversations};

impl Conversations {
    /// Adds events of a response, and says that its maker lives.
    pub async fn log(
        &self,
        owner: &str,
        id: &str,
        events: &[Numbered],
    ) -> Result<Standing, ConversationError> {
        let sealed: Vec<Numbered> =
            events.iter().map(|(number, event)| (*number, self.seal.close(owner, id, event))).collect();
        Ok(self.events.append(owner, id, &sealed).await?)
    }

    /// Events of a response behind a place, at most so many.
    pub async fn replay(
        &self,
        owner: &str,
        id: &str,
        after: Option<u64>,
        most: usize,
    ) -> Result<Vec<Numbered>, ConversationError> {
        let unreadable = || ConversationError::Unreadable(id.to_owned());
        let sealed = self.events.read(owner, id, after, most).await?;
        let open = |(number, event)| {
            let opened = self.seal.open(owner, id, &event).ok_or_else(unreadable)?;
            Ok((number, opened))
        };
        sealed.into_iter().map(open).collect()
    }

    /// How the maker of a response stands.
    pub async fn standing(&self, owner: &str, id: &str) -> Result<Standing, ConversationError> {
        Ok(self.events.standing(owner, id).await?)
    }

    /// Tells the maker of a response to stop.
    pub async fn cancel(&self, owner: &str, id: &str) -> Result<(), ConversationError> {
        Ok(self.events.cancel(owner, id).await?)
    }
}
