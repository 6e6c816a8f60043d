use std::fmt;

/// A W3C trace context: which trace a message belongs to, and which span published it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    trace: u128,
    span: u64,
}

impl TraceContext {
    /// Begins a trace: a webhook, a caller's turn.
    pub fn root() -> Self {
        Self { trace: rand::random::<u128>().max(1), span: new_span() }
    }

    /// Reads a `traceparent`; `None` when it is not a valid version 00 one.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
        parts.next()?;
        let well_formed = version == "00" && trace.len() == 32 && span.len() == 16;
        let context = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
        };
        (well_formed && context.trace != 0 && context.span != 0).then_some(context)
    }

    /// A new span in the same trace.
    pub fn child(&self) -> Self {
        Self { trace: self.trace, span: new_span() }
    }

    /// The span's id: 16 hex digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// The trace's id, as logs show it: 32 hex digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

fn new_span() -> u64 {
    // Never zero, which the specification forbids.
    rand::random::<u64>().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stays_in_its_trace() {
        let root = TraceContext::root();
        let child = TraceContext::parse(&root.to_string()).unwrap().child();
        assert_eq!(child.trace_id(), root.trace_id());
        assert_ne!(child, root);
    }

    #[test]
    fn what_is_no_trace_context_is_not_believed() {
        for bad in
            ["", "00", "00-0-0-00", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]
        {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
        let zero = format!("00-{:032x}-{:016x}-01", 0, 5);
        assert_eq!(TraceContext::parse(&zero), None);
    }
}
