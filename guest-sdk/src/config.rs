//! The environment as a struct: each field reads the variable of its name in capitals.

use std::fmt;
use std::slice;

use serde::de::value::SeqDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use zeroize::Zeroizing;

use crate::{Error, env::find};

/// Reads the environment into a struct of your own.
///
/// The field `my_app_secret` reads `MY_APP_SECRET` or, where that is not set, the variable that is
/// spelt as the field is. Variables that no field names are left alone. What a field may be:
///
/// | type | written as |
/// | --- | --- |
/// | `String`, `char`, [`Secret`](crate::Secret), what deserializes from a string | the text itself |
/// | numbers | as Rust's `FromStr` reads them |
/// | `bool` | `true` or `1`, `false` or `0` |
/// | `Option` | `None` where the variable is not set |
/// | `Vec`, tuples, sets | elements parted by commas, spaces around them dropped; empty text is no element |
/// | an enum of plain variants | the variant's name |
///
/// `#[serde(default)]`, `rename`, `alias` and newtypes work as they always do; nested structs, maps
/// and `flatten` do not.
///
/// # Errors
///
/// [`Error::Unset`] for a field without a value, [`Error::NotText`], [`Error::Invalid`] where a
/// value is not of the field's type, and [`Error::Shape`] where `T` is no such struct. None repeats
/// a value, nor what `T`'s own code says of it.
///
/// ```
/// # // SAFETY: a doctest is a process with one thread.
/// # unsafe { std::env::set_var("RETRIES", "3"); std::env::set_var("HOSTS", "a.example, b.example") }
/// #[derive(serde::Deserialize)]
/// struct Config {
///     retries: u8,
///     hosts: Vec<String>,
///     proxy: Option<String>,
/// }
///
/// let config: Config = leyden_guest::from_env()?;
/// assert_eq!(config.retries, 3);
/// assert_eq!(config.hosts, ["a.example", "b.example"]);
/// assert_eq!(config.proxy, None);
/// # Ok::<(), leyden_guest::Error>(())
/// ```
pub fn from_env<T: DeserializeOwned>() -> Result<T, Error> {
    read(find)
}

fn read<T: DeserializeOwned>(
    find: impl Fn(&str) -> Result<Option<String>, Error>,
) -> Result<T, Error> {
    T::deserialize(Environment { find }).map_err(|refusal| match refusal {
        Refusal::Unfit(expected) => Error::Shape { expected },
        Refusal::Known(error) => error,
    })
}

/// Why serde stopped. Its own error types would repeat values; this one cannot.
#[derive(Debug)]
enum Refusal {
    /// A value is not what was expected: which one, whoever knows its name adds.
    Unfit(String),
    Known(Error),
}

impl Refusal {
    fn of(self, name: String) -> Self {
        match self {
            Self::Unfit(expected) => Self::Known(Error::Invalid { name, expected }),
            known @ Self::Known(_) => known,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(expected) => write!(f, "not {expected}"),
            Self::Known(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Unfit("a valid value".into())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Unfit(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Unfit(expected.to_string())
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::Unfit(expected.to_string())
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Unfit(format!("one of {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Known(Error::Unset {
            name: field.to_ascii_uppercase(),
        })
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::Known(Error::Invalid {
            name: field.to_ascii_uppercase(),
            expected: "one value: it is set under an alias too".into(),
        })
    }
}

/// The whole environment, of which only the variables that the fields name are looked up.
struct Environment<F> {
    find: F,
}

impl<'de, F: Fn(&str) -> Result<Option<String>, Error>> Deserializer<'de> for Environment<F> {
    type Error = Refusal;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_map(Fields {
            names: fields.iter(),
            find: self.find,
            value: None,
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        Err(de::Error::invalid_type(Unexpected::Map, &visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The fields that have a variable, one after the other.
struct Fields<F> {
    names: slice::Iter<'static, &'static str>,
    find: F,
    value: Option<(String, Value)>,
}

impl<'de, F: Fn(&str) -> Result<Option<String>, Error>> MapAccess<'de> for Fields<F> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        for field in self.names.by_ref() {
            for name in [field.to_ascii_uppercase(), (*field).to_owned()] {
                if let Some(text) = (self.find)(&name).map_err(Refusal::Known)? {
                    self.value = Some((name, Value(text.into())));
                    return seed.deserialize((*field).into_deserializer()).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let (name, value) = self
            .value
            .take()
            .ok_or_else(|| Refusal::Unfit("a key before each value".into()))?;
        seed.deserialize(value).map_err(|refusal| refusal.of(name))
    }
}

/// One variable's value. Wiped when dropped, as it may be a secret.
struct Value(Zeroizing<String>);

impl IntoDeserializer<'_, Refusal> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// What Rust's `FromStr` reads.
macro_rules! parsed {
    ($($method:ident $visit:ident $type:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Refusal::Unfit(stringify!($type).into())),
            }
        }
    )*};
}

/// What a comma parts.
macro_rules! listed {
    ($($method:ident($($argument:ty),*),)*) => {$(
        fn $method<V: Visitor<'de>>(self, $(_: $argument,)* visitor: V) -> Result<V::Value, Refusal> {
            let elements = self.0.split(',').map(str::trim);
            let count = if self.0.is_empty() { 0 } else { usize::MAX };
            let mut elements = SeqDeserializer::new(
                elements.take(count).map(|element| Value(element.to_owned().into())),
            );
            let value = visitor.visit_seq(&mut elements)?;
            elements.end().map(|()| value)
        }
    )*};
}

impl<'de> Deserializer<'de> for Value {
    type Error = Refusal;

    parsed! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    listed! {
        deserialize_seq(),
        deserialize_tuple(usize),
        deserialize_tuple_struct(&'static str, usize),
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0.as_str() {
            "true" | "1" => visitor.visit_bool(true),
            "false" | "0" => visitor.visit_bool(false),
            _ => Err(Refusal::Unfit("bool".into())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_enum(self.0.as_str().into_deserializer())
    }

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_string(std::mem::take(&mut *self.0))
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeSet, HashMap};
    use std::net::IpAddr;

    use serde::Deserialize;

    use super::*;
    use crate::Secret;

    fn from<T: DeserializeOwned>(entries: &[(&str, &str)]) -> Result<T, Error> {
        read(|name| {
            let entry = entries.iter().find(|(key, _)| *key == name);
            Ok(entry.map(|(_, value)| (*value).to_owned()))
        })
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        Quiet,
        Loud,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Seconds(f64);

    #[derive(Debug, Deserialize)]
    struct Everything {
        text: String,
        letter: char,
        small: i8,
        large: u128,
        on: bool,
        off: bool,
        maybe: Option<u16>,
        absent: Option<u16>,
        list: Vec<u32>,
        empty: Vec<String>,
        pair: (String, i64),
        set: BTreeSet<String>,
        level: Level,
        wait: Seconds,
        address: IpAddr,
        secret: Secret,
        #[serde(default)]
        left_out: u8,
        #[serde(rename = "HTTP_PROXY")]
        proxy: String,
        #[serde(rename = "mixedCase")]
        mixed: String,
    }

    #[test]
    fn reads_every_kind_of_field() {
        let read: Everything = from(&[
            ("TEXT", " as = it, is "),
            ("LETTER", "é"),
            ("SMALL", "-128"),
            ("LARGE", "340282366920938463463374607431768211455"),
            ("ON", "1"),
            ("OFF", "false"),
            ("MAYBE", "8080"),
            ("LIST", "1, 2,3"),
            ("EMPTY", ""),
            ("PAIR", "a,-1"),
            ("SET", "b,a,b"),
            ("LEVEL", "loud"),
            ("WAIT", "1.5"),
            ("ADDRESS", "::1"),
            ("SECRET", "s3cret"),
            ("HTTP_PROXY", "proxy"),
            ("mixedCase", "mixed"),
            ("UNRELATED", "ignored"),
        ])
        .unwrap();
        assert_eq!(read.text, " as = it, is ");
        assert_eq!(read.letter, 'é');
        assert_eq!(read.small, i8::MIN);
        assert_eq!(read.large, u128::MAX);
        assert!(read.on);
        assert!(!read.off);
        assert_eq!(read.maybe, Some(8080));
        assert_eq!(read.absent, None);
        assert_eq!(read.list, [1, 2, 3]);
        assert!(read.empty.is_empty());
        assert_eq!(read.pair, ("a".into(), -1));
        assert_eq!(read.set, BTreeSet::from(["a".into(), "b".into()]));
        assert_eq!(read.level, Level::Loud);
        assert_eq!(read.wait, Seconds(1.5));
        assert_eq!(read.address.to_string(), "::1");
        assert_eq!(read.secret.expose(), "s3cret");
        assert_eq!(read.left_out, 0);
        assert_eq!(read.proxy, "proxy");
        assert_eq!(read.mixed, "mixed");
    }

    #[derive(Debug, Deserialize)]
    struct Port {
        #[allow(dead_code)]
        #[serde(alias = "listen_port")]
        port: u16,
    }

    #[test]
    fn capitals_come_first() {
        let read: Port = from(&[("port", "1"), ("PORT", "2")]).unwrap();
        assert_eq!(read.port, 2);
    }

    #[test]
    fn an_alias_is_one_name_or_the_other() {
        let read: Port = from(&[("LISTEN_PORT", "1")]).unwrap();
        assert_eq!(read.port, 1);
        let error = from::<Port>(&[("LISTEN_PORT", "1"), ("PORT", "2")]).unwrap_err();
        assert!(matches!(error, Error::Invalid { name, .. } if name == "PORT"));
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = from::<Port>(&[]).unwrap_err();
        assert_eq!(
            error,
            Error::Unset {
                name: "PORT".into()
            }
        );
    }

    #[test]
    fn what_is_not_text_is_named() {
        let error = read::<Port>(|name| match name {
            "PORT" => Err(Error::NotText { name: name.into() }),
            _ => Ok(None),
        })
        .unwrap_err();
        assert_eq!(
            error,
            Error::NotText {
                name: "PORT".into()
            }
        );
    }

    /// Each kind of field, given what it cannot be: the error has the name and not the value.
    #[test]
    fn an_unfit_value_is_not_repeated() {
        fn refused<T: DeserializeOwned>(expected: &str) {
            #[derive(Deserialize)]
            struct One<T> {
                #[allow(dead_code)]
                field: T,
            }
            let error = from::<One<T>>(&[("FIELD", "hunter2,x")]).err().unwrap();
            assert_eq!(
                error.to_string(),
                format!("FIELD cannot be read as {expected}")
            );
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        refused::<u8>("u8");
        refused::<f64>("f64");
        refused::<bool>("bool");
        refused::<char>("a character");
        refused::<Option<i32>>("i32");
        refused::<Vec<u8>>("u8");
        refused::<(String,)>("1 element in sequence");
        refused::<(String, String, String)>("a tuple of size 3");
        refused::<Level>("one of quiet, loud");
        refused::<Seconds>("f64");
        refused::<IpAddr>("a valid value");
        refused::<HashMap<String, String>>("a map");
        refused::<Port>("struct Port");
        refused::<()>("unit");
    }

    #[test]
    fn only_a_struct_can_be_read() {
        assert_eq!(
            from::<HashMap<String, String>>(&[])
                .unwrap_err()
                .to_string(),
            "the environment cannot be read as a map"
        );
        #[derive(Debug, Deserialize)]
        struct Wrapped(#[allow(dead_code)] Port);
        from::<Wrapped>(&[("PORT", "1")]).unwrap();
    }

    #[test]
    fn reads_this_process() {
        #[derive(Deserialize)]
        struct Cargo {
            cargo_pkg_name: String,
        }
        assert_eq!(from_env::<Cargo>().unwrap().cargo_pkg_name, "leyden-guest");
    }
}
