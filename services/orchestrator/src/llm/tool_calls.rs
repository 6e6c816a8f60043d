//! Requests for tools, put together from the pieces in which models stream them.

use serde::Deserialize;
use serde_json::Value;

use crate::llm::{Asked, ModelError};

/// The most requests for tools read from one message; more is a loop.
const CALLS_MAX: usize = 16;

/// The longest arguments of all requests of a message together, in bytes.
const ARGUMENTS_BYTES_MAX: usize = 32 * 1024;

/// A piece of a request for a tool.
#[derive(Deserialize)]
pub(super) struct Fragment {
    index: Option<usize>,
    id: Option<String>,
    function: Option<Function>,
}

impl Fragment {
    /// The beginning of request `index`.
    pub(super) fn begins(index: usize, id: String, name: String) -> Self {
        let function = Function { name: Some(name), arguments: None };
        Self { index: Some(index), id: Some(id), function: Some(function) }
    }

    /// More of the arguments of request `index`.
    pub(super) fn goes_on(index: usize, arguments: String) -> Self {
        let function = Function { name: None, arguments: Some(arguments.into()) };
        Self { index: Some(index), id: None, function: Some(function) }
    }
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    /// A piece of text; of some servers an object, whole.
    arguments: Option<Value>,
}

/// Requests for tools, put together from their pieces.
///
/// Pieces belong together by `index`, and only the first names id and tool (PROTOCOLS 4). Compatible servers differ: some
/// repeat id and name with every piece, some count every request 0 and tell them apart by id, some leave the index out.
#[derive(Default)]
pub(super) struct ToolCalls {
    calls: Vec<(usize, Asked)>,
    bytes: usize,
}

impl ToolCalls {
    pub(super) fn take(&mut self, fragment: Fragment) -> Result<(), ModelError> {
        let Fragment { index, id, function } = fragment;
        let id = id.filter(|id| !id.is_empty());
        let (name, arguments) = function.map_or((None, None), |f| (f.name, f.arguments));
        let name = name.filter(|name| !name.is_empty());
        let place = match self.place_of(index, id.as_deref(), name.is_some()) {
            Some(place) => place,
            None if self.calls.len() >= CALLS_MAX => {
                return Err(ModelError::Unreadable("it asks for too many tools at once"));
            }
            None => {
                let empty =
                    Asked { id: String::new(), name: String::new(), arguments: String::new() };
                self.calls.push((index.unwrap_or(self.calls.len()), empty));
                self.calls.len() - 1
            }
        };
        let (_, call) = &mut self.calls[place];
        if let Some(id) = id {
            call.id = id;
        }
        if let Some(name) = name {
            call.name = name;
        }
        match arguments {
            None | Some(Value::Null) => {}
            Some(Value::String(piece)) => call.arguments.push_str(&piece),
            Some(whole) => call.arguments = whole.to_string(),
        }
        self.bytes = self.calls.iter().map(|(_, call)| call.arguments.len()).sum();
        match self.bytes > ARGUMENTS_BYTES_MAX {
            true => Err(ModelError::Unreadable("a tool's arguments have no end")),
            false => Ok(()),
        }
    }

    /// Which request a piece belongs to; `None` where it begins one.
    fn place_of(&self, index: Option<usize>, id: Option<&str>, is_named: bool) -> Option<usize> {
        let last_of = |index| self.calls.iter().rposition(|(i, _)| *i == index);
        let known = match index {
            Some(index) => last_of(index),
            None if id.is_some() => self.calls.iter().rposition(|(_, c)| Some(&*c.id) == id),
            None if is_named => None,
            None => self.calls.len().checked_sub(1),
        }?;
        let (_, call) = &self.calls[known];
        let is_another = is_named && id.is_some_and(|id| !call.id.is_empty() && call.id != id);
        (!is_another).then_some(known)
    }

    /// The requests, each under a name of its own even where the model gave none.
    pub(super) fn finish(&mut self) -> Vec<Asked> {
        let mut named: Vec<Asked> = Vec::new();
        for (place, (_, mut call)) in std::mem::take(&mut self.calls).into_iter().enumerate() {
            let is_taken = |id: &str| named.iter().any(|before| before.id == id);
            if call.id.is_empty() || is_taken(&call.id) {
                let mut free = (place..).map(|number| format!("call_{number}"));
                call.id = free.find(|id| !is_taken(id)).unwrap_or_default();
            }
            named.push(call);
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn joined(fragments: Value) -> Vec<(String, String, String)> {
        let mut calls = ToolCalls::default();
        for fragment in serde_json::from_value::<Vec<Fragment>>(fragments).unwrap() {
            calls.take(fragment).unwrap();
        }
        calls.finish().into_iter().map(|c| (c.id, c.name, c.arguments)).collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.into(), name.into(), arguments.into())
    }

    #[test]
    fn pieces_are_joined_by_index() {
        let openai = json!([
            {"index": 0, "id": "a", "type": "function", "function": {"name": "book", "arguments": ""}},
            {"index": 0, "function": {"arguments": "{\"d\":"}},
            {"index": 1, "id": "b", "function": {"name": "weather", "arguments": ""}},
            {"index": 0, "function": {"arguments": "1}"}},
            {"index": 1, "function": {"arguments": "{}"}},
        ]);
        assert_eq!(joined(openai), [call("a", "book", "{\"d\":1}"), call("b", "weather", "{}")]);
    }

    #[test]
    fn servers_that_repeat_leave_out_or_miscount_are_understood() {
        let repeats = json!([
            {"index": 0, "id": "a", "function": {"name": "book", "arguments": "{\"d\""}},
            {"index": 0, "id": "a", "function": {"name": "book", "arguments": ":1}"}},
        ]);
        assert_eq!(joined(repeats), [call("a", "book", "{\"d\":1}")]);
        let all_are_first = json!([
            {"index": 0, "id": "a", "function": {"name": "book", "arguments": "{}"}},
            {"index": 0, "id": "b", "function": {"name": "weather", "arguments": "{}"}},
        ]);
        assert_eq!(joined(all_are_first), [call("a", "book", "{}"), call("b", "weather", "{}")]);
        let without_index = json!([
            {"id": "", "function": {"name": "book", "arguments": {"d": 1}}},
            {"function": {"name": "weather", "arguments": "{"}},
            {"function": {"arguments": "}"}},
        ]);
        assert_eq!(
            joined(without_index),
            [call("call_0", "book", "{\"d\":1}"), call("call_1", "weather", "{}")]
        );
    }

    #[test]
    fn a_name_that_is_made_up_is_no_other_requests() {
        let first_has_it = json!([
            {"index": 0, "id": "call_1", "function": {"name": "book", "arguments": "{}"}},
            {"index": 1, "function": {"name": "weather", "arguments": "{}"}},
        ]);
        assert_eq!(
            joined(first_has_it),
            [call("call_1", "book", "{}"), call("call_2", "weather", "{}")]
        );
    }

    #[test]
    fn arguments_without_end_are_refused() {
        let mut calls = ToolCalls::default();
        let piece = || {
            let piece = json!({"index": 0, "function": {"arguments": "x".repeat(4096)}});
            serde_json::from_value::<Fragment>(piece).unwrap()
        };
        let mut taken = (0..9).map(|_| calls.take(piece()));
        assert!(taken.any(|result| result.is_err()));
        let mut calls = ToolCalls::default();
        let many = |index: usize| serde_json::from_value(json!({"index": index})).unwrap();
        assert!((0..=CALLS_MAX).any(|index| calls.take(many(index)).is_err()));
    }

    proptest! {
        #[test]
        fn no_pieces_make_it_panic(pieces in proptest::collection::vec(
            (proptest::option::of(0..4_usize), proptest::option::of("[ab]?"), proptest::option::of("[xy]?"), ".{0,9}"),
            0..40,
        )) {
            let mut calls = ToolCalls::default();
            let count = pieces.len();
            for (index, id, name, arguments) in pieces {
                let piece = json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
                if calls.take(serde_json::from_value(piece).unwrap()).is_err() { return Ok(()); }
            }
            prop_assert!(calls.finish().len() <= count);
        }
    }
}
