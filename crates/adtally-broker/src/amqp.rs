//! Between our own types for what a message says about itself and those of the client library.

use adtally_wire::{HeaderValue, Headers, Properties};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::connection::short;

/// Sets one of the properties that are short texts.
type WithText = fn(BasicProperties, ShortString) -> BasicProperties;

/// The properties as the client library sends them.
pub(crate) fn to_amqp(properties: &Properties) -> BasicProperties {
    let mut amqp = BasicProperties::default();
    if !properties.headers.is_empty() {
        amqp = amqp.with_headers(table(&properties.headers));
    }
    let texts: [(&Option<String>, WithText); 9] = [
        (&properties.content_type, BasicProperties::with_content_type),
        (
            &properties.content_encoding,
            BasicProperties::with_content_encoding,
        ),
        (
            &properties.correlation_id,
            BasicProperties::with_correlation_id,
        ),
        (&properties.reply_to, BasicProperties::with_reply_to),
        (&properties.expiration, BasicProperties::with_expiration),
        (&properties.message_id, BasicProperties::with_message_id),
        (&properties.message_type, BasicProperties::with_type),
        (&properties.user_id, BasicProperties::with_user_id),
        (&properties.app_id, BasicProperties::with_app_id),
    ];
    for (text, with) in texts {
        if let Some(text) = text {
            amqp = with(amqp, short(text));
        }
    }
    if let Some(mode) = properties.delivery_mode {
        amqp = amqp.with_delivery_mode(mode);
    }
    if let Some(priority) = properties.priority {
        amqp = amqp.with_priority(priority);
    }
    if let Some(seconds) = properties.timestamp {
        amqp = amqp.with_timestamp(seconds);
    }
    amqp
}

/// The properties as the client library read them.
pub(crate) fn from_amqp(amqp: &BasicProperties) -> Properties {
    let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
    Properties {
        content_type: text(amqp.content_type()),
        content_encoding: text(amqp.content_encoding()),
        headers: amqp.headers().as_ref().map(headers).unwrap_or_default(),
        delivery_mode: *amqp.delivery_mode(),
        priority: *amqp.priority(),
        correlation_id: text(amqp.correlation_id()),
        reply_to: text(amqp.reply_to()),
        expiration: text(amqp.expiration()),
        message_id: text(amqp.message_id()),
        timestamp: *amqp.timestamp(),
        message_type: text(amqp.kind()),
        user_id: text(amqp.user_id()),
        app_id: text(amqp.app_id()),
    }
}

fn headers(table: &FieldTable) -> Headers {
    table
        .into_iter()
        .map(|(name, value)| (name.to_string(), header(value)))
        .collect()
}

fn table(headers: &Headers) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(short(name), amqp_value(value));
    }
    table
}

fn header(value: &AMQPValue) -> HeaderValue {
    match value {
        AMQPValue::Void => HeaderValue::Null,
        AMQPValue::Boolean(truth) => HeaderValue::Bool(*truth),
        AMQPValue::ShortShortInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::ShortShortUInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::ShortInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::ShortUInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::LongInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::LongUInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::LongLongInt(number) => HeaderValue::Int(*number),
        AMQPValue::Timestamp(seconds) => {
            HeaderValue::Int(i64::try_from(*seconds).unwrap_or(i64::MAX))
        }
        AMQPValue::Float(number) => HeaderValue::Float((*number).into()),
        AMQPValue::Double(number) => HeaderValue::Float(*number),
        AMQPValue::DecimalValue(decimal) => {
            HeaderValue::Float(f64::from(decimal.value) / 10_f64.powi(decimal.scale.into()))
        }
        AMQPValue::ShortString(text) => HeaderValue::Text(text.to_string()),
        AMQPValue::LongString(text) => HeaderValue::Text(text.to_string()),
        AMQPValue::ByteArray(bytes) => {
            HeaderValue::Text(String::from_utf8_lossy(bytes.as_slice()).into_owned())
        }
        AMQPValue::FieldArray(values) => {
            HeaderValue::List(values.as_slice().iter().map(header).collect())
        }
        AMQPValue::FieldTable(table) => HeaderValue::Table(headers(table)),
    }
}

fn amqp_value(value: &HeaderValue) -> AMQPValue {
    match value {
        HeaderValue::Null => AMQPValue::Void,
        HeaderValue::Bool(truth) => AMQPValue::Boolean(*truth),
        HeaderValue::Int(number) => AMQPValue::LongLongInt(*number),
        HeaderValue::Float(number) => AMQPValue::Double(*number),
        // RabbitMQ reads the short type as a number.
        HeaderValue::Text(text) => AMQPValue::LongString(text.as_bytes().into()),
        HeaderValue::List(values) => {
            AMQPValue::FieldArray(values.iter().map(amqp_value).collect::<Vec<_>>().into())
        }
        HeaderValue::Table(headers) => AMQPValue::FieldTable(table(headers)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_survive_the_way_to_the_broker_and_back() {
        let headers: Headers = [
            ("null", HeaderValue::Null),
            (
                "list",
                HeaderValue::List(vec![HeaderValue::Int(-1), HeaderValue::Float(2.5)]),
            ),
            (
                "table",
                HeaderValue::Table([("t".to_owned(), HeaderValue::Bool(true))].into()),
            ),
            ("text", HeaderValue::Text("é".to_owned())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let text = |text: &str| Some(text.to_owned());
        let properties = Properties {
            content_type: text("application/json"),
            content_encoding: text("utf-8"),
            headers,
            delivery_mode: Some(2),
            priority: Some(3),
            correlation_id: text("c"),
            reply_to: text(""),
            expiration: text("60000"),
            message_id: text("m"),
            timestamp: Some(4),
            message_type: text("t"),
            user_id: text("u"),
            app_id: text("a"),
        };
        assert_eq!(from_amqp(&to_amqp(&properties)), properties);
        let none = Properties::default();
        assert_eq!(to_amqp(&none), BasicProperties::default());
        assert_eq!(from_amqp(&BasicProperties::default()), none);
    }

    #[test]
    fn no_text_is_sent_as_amqps_short_string() {
        let value = amqp_value(&HeaderValue::Text("x".to_owned()));
        assert!(matches!(value, AMQPValue::LongString(_)), "{value:?}");
    }
}
