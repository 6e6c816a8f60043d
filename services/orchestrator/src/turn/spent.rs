use std::time::Duration;

use domain::Timestamp;

use crate::llm::{LanguageModel, Price, Request, Usage};

/// The most tokens the models of one turn may read and write together; more is a loop.
const TOKENS_MAX: u32 = 60_000;

/// About how many bytes a token has, for vendors that do not say what they used.
const TOKEN_BYTES: usize = 4;

/// What was used for a reply (C9).
#[derive(Default)]
pub(super) struct Spent {
    pub(super) usage: Usage,
    pub(super) first_sentence_at: Option<Timestamp>,
    /// How long it was not known whether the caller interrupts. It is not taken from the time that the reply has.
    pub(super) doubted: Duration,
    /// In millionths of a US dollar.
    cost: f64,
    open: Option<Open>,
}

/// A request whose usage is not told yet. One that is cut off never tells it, and is paid for all the same.
struct Open {
    price: Price,
    read_bytes: usize,
    written_bytes: usize,
}

impl Spent {
    /// A model is asked.
    pub(super) fn asks(&mut self, model: &dyn LanguageModel, request: &Request) {
        self.close();
        let price = model.price();
        let read_bytes = bytes_of(request);
        self.open = Some(Open { price, read_bytes, written_bytes: 0 });
    }

    /// What a request took that is no part of the reply.
    pub(super) fn also(&mut self, model: &dyn LanguageModel, usage: Usage) {
        self.add(model.price(), usage);
    }

    /// It did not answer: there is nothing to pay.
    pub(super) fn was_refused(&mut self) {
        self.open = None;
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        if let Some(open) = &mut self.open {
            open.written_bytes += bytes;
        }
    }

    /// What the vendor says. Some say it more than once; the first counts.
    pub(super) fn told(&mut self, usage: Usage) {
        if let Some(open) = self.open.take() {
            self.add(open.price, usage);
        }
    }

    /// The request is over; where its usage was not told, it is reckoned. The rules engine costs nothing.
    pub(super) fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        if open.price != Price::default() {
            let tokens = |bytes: usize| u32::try_from(bytes / TOKEN_BYTES).unwrap_or(u32::MAX);
            let (tokens_in, tokens_out) = (tokens(open.read_bytes), tokens(open.written_bytes));
            self.add(open.price, Usage { tokens_in, tokens_out });
        }
    }

    pub(super) fn is_over_budget(&self) -> bool {
        self.usage.tokens_in.saturating_add(self.usage.tokens_out) > TOKENS_MAX
    }

    pub(super) fn cost_micros(&self) -> u64 {
        self.cost.round() as u64
    }

    fn add(&mut self, price: Price, usage: Usage) {
        self.usage.tokens_in = self.usage.tokens_in.saturating_add(usage.tokens_in);
        self.usage.tokens_out = self.usage.tokens_out.saturating_add(usage.tokens_out);
        self.cost += price.of(usage);
    }
}

fn bytes_of(request: &Request) -> usize {
    let prompt = request.prompt.iter().map(|prompt| {
        let said = prompt.messages.iter().map(|u| u.text.reveal().len());
        prompt.system.reveal().len() + said.sum::<usize>()
    });
    let said = request.said.iter().map(String::len);
    let tools = request.tools.iter().map(|t| t.description.len() + t.parameters.to_string().len());
    let exchanged =
        request.exchanges.iter().map(|e| e.asked.arguments.len() + e.told.to_string().len());
    prompt.chain(said).chain(tools).chain(exchanged).sum()
}
