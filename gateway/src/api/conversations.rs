//! `/v1/conversations`.

use std::sync::Arc;

use openapi::conversations::{Conversation, ConversationChange, NewConversation, NewItems};
use openapi::responses::{Deleted, Item, ItemList};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use crate::api::Tag;
use crate::api::generation::fields;
use crate::api::payload::SerdeJson;
use crate::api::responses::items;
use crate::app::App;
use crate::auth::{Authorized, permission};
use crate::error::{ApiError, ErrorKind};

/// Items that one request may bring.
const MOST_ITEMS: usize = 20;
/// Items of a page where none is asked for, and at most.
const PAGE: (usize, usize) = (20, 100);

/// The conversations resource.
pub struct ConversationsApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Conversations")]
impl ConversationsApi {
    /// Begin a conversation
    #[oai(path = "/conversations", method = "post", operation_id = "create_conversation")]
    async fn create(
        &self,
        caller: Authorized<permission::Conversations>,
        body: SerdeJson<NewConversation>,
    ) -> Result<SerdeJson<Conversation>, ApiError> {
        let NewConversation { items, metadata } = body.0;
        let metadata = metadata.unwrap_or_default();
        fields::metadata(Some(&metadata))?;
        let items = items::bounded("items", items.unwrap_or_default(), MOST_ITEMS)?;
        Ok(SerdeJson(self.app.conversations.create(&caller.subject, items, &metadata).await?))
    }

    /// Describe a conversation
    #[oai(path = "/conversations/:id", method = "get", operation_id = "retrieve_conversation")]
    async fn retrieve(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The conversation's id.
        id: Path<String>,
    ) -> Result<SerdeJson<Conversation>, ApiError> {
        Ok(SerdeJson(self.app.conversations.conversation(&caller.subject, &id).await?))
    }

    /// Replace a conversation's notes
    #[oai(path = "/conversations/:id", method = "post", operation_id = "update_conversation")]
    async fn update(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The conversation's id.
        id: Path<String>,
        body: SerdeJson<ConversationChange>,
    ) -> Result<SerdeJson<Conversation>, ApiError> {
        fields::metadata(Some(&body.0.metadata))?;
        Ok(SerdeJson(self.app.conversations.set_metadata(&caller.subject, &id, &body.0.metadata).await?))
    }

    /// Delete a conversation and its items
    ///
    /// Responses that were made in it stay until they are deleted themselves.
    #[oai(path = "/conversations/:id", method = "delete", operation_id = "delete_conversation")]
    async fn delete(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The conversation's id.
        id: Path<String>,
    ) -> Result<SerdeJson<Deleted>, ApiError> {
        self.app.conversations.remove(&caller.subject, &id).await?;
        Ok(SerdeJson(Deleted { id: id.0, object: "conversation.deleted".to_owned(), deleted: true }))
    }

    /// List a conversation's items
    #[oai(path = "/conversations/:id/items", method = "get", operation_id = "list_conversation_items")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the path or the query")]
    async fn items(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The conversation's id.
        id: Path<String>,
        /// The item's id behind which the page begins.
        after: Query<Option<String>>,
        /// How many, from 1 to 100; 20 if not said.
        limit: Query<Option<u32>>,
        /// `asc` or `desc`; `desc` if not said.
        order: Query<Option<String>>,
    ) -> Result<SerdeJson<ItemList>, ApiError> {
        let order = Order::parse(order.0.as_deref())?;
        let items = self.app.conversations.items(&caller.subject, &id).await?;
        Ok(SerdeJson(page(items, order, after.0.as_deref(), limit.0)?))
    }

    /// Add items to a conversation
    #[oai(path = "/conversations/:id/items", method = "post", operation_id = "create_conversation_items")]
    async fn add(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The conversation's id.
        id: Path<String>,
        body: SerdeJson<NewItems>,
    ) -> Result<SerdeJson<ItemList>, ApiError> {
        let items = items::bounded("items", body.0.items, MOST_ITEMS)?;
        let added = self.app.conversations.add_items(&caller.subject, &id, items).await?;
        Ok(SerdeJson(list(added, false)))
    }

    /// Describe an item of a conversation
    #[oai(
        path = "/conversations/:id/items/:item",
        method = "get",
        operation_id = "retrieve_conversation_item"
    )]
    async fn item(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The conversation's id.
        id: Path<String>,
        /// The item's id.
        item: Path<String>,
    ) -> Result<SerdeJson<Item>, ApiError> {
        let items = self.app.conversations.items(&caller.subject, &id).await?;
        let found = items.into_iter().find(|found| found.id() == *item);
        found.map(SerdeJson).ok_or_else(|| {
            ApiError::new(ErrorKind::NotFound, "this conversation has no such item")
                .with_code("item_not_found")
        })
    }

    /// Delete an item of a conversation
    #[oai(
        path = "/conversations/:id/items/:item",
        method = "delete",
        operation_id = "delete_conversation_item"
    )]
    async fn remove(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The conversation's id.
        id: Path<String>,
        /// The item's id.
        item: Path<String>,
    ) -> Result<SerdeJson<Conversation>, ApiError> {
        self.app.conversations.remove_item(&caller.subject, &id, &item).await?;
        Ok(SerdeJson(self.app.conversations.conversation(&caller.subject, &id).await?))
    }
}

/// In which order items are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The oldest first.
    Ascending,
    /// The newest first.
    Descending,
}

impl Order {
    /// OpenAI's names; the newest first where none is given.
    pub(crate) fn parse(order: Option<&str>) -> Result<Self, ApiError> {
        match order {
            None | Some("desc") => Ok(Self::Descending),
            Some("asc") => Ok(Self::Ascending),
            Some(_) => Err(fields::unsupported_value("order", "must be 'asc' or 'desc'.")),
        }
    }
}

/// A page of items.
pub(crate) fn page(
    mut items: Vec<Item>,
    order: Order,
    after: Option<&str>,
    limit: Option<u32>,
) -> Result<ItemList, ApiError> {
    let (usual, most) = PAGE;
    let size = limit.map_or(Ok(usual), |limit| {
        let size = usize::try_from(limit).ok().filter(|size| (1..=most).contains(size));
        size.ok_or_else(|| fields::invalid("limit", format!("must be from 1 to {most}.")))
    })?;
    if order == Order::Descending {
        items.reverse();
    }
    let begin = match after {
        None => 0,
        Some(after) => {
            let place = items.iter().position(|item| item.id() == after);
            place.ok_or_else(|| fields::invalid("after", "there is no such item."))? + 1
        }
    };
    let has_more = items.len() > begin + size;
    Ok(list(items.into_iter().skip(begin).take(size).collect(), has_more))
}

fn list(data: Vec<Item>, has_more: bool) -> ItemList {
    let id = |item: Option<&Item>| item.map(|item| item.id().to_owned());
    ItemList {
        object: "list".to_owned(),
        first_id: id(data.first()),
        last_id: id(data.last()),
        data,
        has_more,
    }
}
