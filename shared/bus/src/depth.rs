//! How full a queue is, as a metric.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;

const EVERY: Duration = Duration::from_secs(15);

/// Sets `messaging_queue_messages` for ever.
pub(crate) async fn watch(sqs: aws_sdk_sqs::Client, url: String, label: &'static str) {
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        let (visible, hidden) = (
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        );
        let request = sqs
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(visible.clone())
            .attribute_names(hidden.clone());
        let Ok(answer) = request.send().await else { continue };
        let number = |name| answer.attributes()?.get(name)?.parse::<f64>().ok();
        for (state, name) in [("visible", &visible), ("in_flight", &hidden)] {
            if let Some(n) = number(name) {
                metrics::gauge!("messaging_queue_messages", "queue" => label, "state" => state)
                    .set(n);
            }
        }
    }
}
