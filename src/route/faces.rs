//! The paths of stored responses and of conversations, as OpenAI has them.

use http::Method;

/// What is asked, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The id of the response or conversation as the path has it, not checked; empty where one is made.
    pub id: Box<str>,
    /// The id of the item; empty where none is named.
    pub item: Box<str>,
    /// What is asked.
    pub action: Action,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `GET /v1/responses/{id}`
    ShowResponse,
    /// `DELETE /v1/responses/{id}`
    DeleteResponse,
    /// `POST /v1/conversations`
    Create,
    /// `GET /v1/conversations/{id}`
    Show,
    /// `POST /v1/conversations/{id}`
    Update,
    /// `DELETE /v1/conversations/{id}`
    Delete,
    /// `GET /v1/conversations/{id}/items`
    Items,
    /// `POST /v1/conversations/{id}/items`
    AddItems,
    /// `GET /v1/conversations/{id}/items/{item}`
    ShowItem,
    /// `DELETE /v1/conversations/{id}/items/{item}`
    DeleteItem,
}

/// What a path names.
#[derive(Clone, Copy, Debug)]
pub struct Names<'p> {
    id: &'p str,
    item: &'p str,
}

impl Names<'_> {
    /// Something that is asked there.
    pub fn place(self, action: Action) -> Place {
        Place { id: self.id.into(), item: self.item.into(), action }
    }
}

/// A path of each kind, below `/v1`.
pub const PATHS: [&str; 5] = [
    "/responses/id",
    "/conversations",
    "/conversations/id",
    "/conversations/id/items",
    "/conversations/id/items/item",
];

/// What each method does at a path below `/v1`, and where; `None` where nothing of this is meant.
pub fn at(path: &str) -> Option<(Names<'_>, &'static [(Method, Action)])> {
    const RESPONSE: &[(Method, Action)] =
        &[(Method::GET, Action::ShowResponse), (Method::DELETE, Action::DeleteResponse)];
    const LIST: &[(Method, Action)] = &[(Method::POST, Action::Create)];
    const ONE: &[(Method, Action)] = &[
        (Method::GET, Action::Show),
        (Method::POST, Action::Update),
        (Method::DELETE, Action::Delete),
    ];
    const ITEMS: &[(Method, Action)] =
        &[(Method::GET, Action::Items), (Method::POST, Action::AddItems)];
    const ITEM: &[(Method, Action)] =
        &[(Method::GET, Action::ShowItem), (Method::DELETE, Action::DeleteItem)];
    let mut parts = path.strip_prefix('/')?.split('/');
    let (face, id) = (parts.next()?, parts.next());
    let (below, item) = (parts.next(), parts.next());
    let actions = match (face, id, below, item) {
        ("responses", Some(_), None, None) => RESPONSE,
        ("conversations", None, None, None) => LIST,
        ("conversations", Some(_), None, None) => ONE,
        ("conversations", Some(_), Some("items"), None) => ITEMS,
        ("conversations", Some(_), Some("items"), Some(_)) => ITEM,
        _ => return None,
    };
    if parts.next().is_some() || id == Some("") || item == Some("") {
        return None;
    }
    Some((Names { id: id.unwrap_or_default(), item: item.unwrap_or_default() }, actions))
}

#[cfg(test)]
mod tests {
    use super::at;

    #[test]
    fn a_path_is_a_face_or_none() {
        for (path, methods) in [
            ("/responses/resp_a_1", Some("GET DELETE")),
            ("/conversations", Some("POST")),
            ("/conversations/conv_a", Some("GET POST DELETE")),
            ("/conversations/conv_a/items", Some("GET POST")),
            ("/conversations/conv_a/items/msg_a", Some("GET DELETE")),
            ("/responses", None),
            ("/responses/", None),
            ("/responses/a/cancel", None),
            ("/conversations/a/x", None),
            ("/conversations/a/items/", None),
            ("/conversations/a/items/b/c", None),
        ] {
            let got = at(path).map(|(_, actions)| {
                let methods: Vec<_> = actions.iter().map(|(method, _)| method.as_str()).collect();
                methods.join(" ")
            });
            assert_eq!(got.as_deref(), methods, "{path}");
        }
    }
}
