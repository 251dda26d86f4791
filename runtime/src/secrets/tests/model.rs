//! The store against a model of it: any sequence of calls gives what the model says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bed::{Bed, get, name};
use crate::secrets::*;

#[derive(Debug, Clone)]
enum Call {
    Create(usize, Vec<u8>),
    Set(usize, Vec<u8>),
    Delete(usize),
    Release(usize, Option<u32>),
    Reopen,
}

/// Names that differ by case are one; the others fall into different places of the tree.
const NAMES: [&str; 7] = ["token", "TOKEN", "db.password", "a", "a.b", "z-9", "Z-9"];

#[derive(Default)]
struct Modelled {
    name: String,
    deleted: bool,
    versions: Vec<Vec<u8>>,
}

fn call() -> impl Strategy<Value = Call> {
    let secret = 0..NAMES.len();
    let value = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        3 => (secret.clone(), value.clone()).prop_map(|(s, v)| Call::Create(s, v)),
        3 => (secret.clone(), value).prop_map(|(s, v)| Call::Set(s, v)),
        1 => secret.clone().prop_map(Call::Delete),
        3 => (secret, proptest::option::of(0..4u32)).prop_map(|(s, v)| Call::Release(s, v)),
        1 => Just(Call::Reopen),
    ]
}

fn deleted<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Deleted { .. }))
}

fn exists<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Exists { .. }))
}

fn not_found<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::NotFound { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_gives_what_the_model_says(
        calls in proptest::collection::vec(call(), 1..30)
    ) {
        let bed = Bed::new();
        let mut store = bed.make();
        let mut model: BTreeMap<String, Modelled> = BTreeMap::new();
        for call in calls {
            match call {
                Call::Create(index, bytes) => {
                    let typed = NAMES[index];
                    let result = store.create_secret(&name(typed), SecretValue::new(bytes.clone())?);
                    match model.get(&typed.to_lowercase()) {
                        Some(secret) if secret.deleted => {
                            prop_assert!(deleted(&result));
                        }
                        Some(_) => prop_assert!(exists(&result)),
                        None => {
                            prop_assert_eq!(result?.get(), 1);
                            let secret = Modelled {
                                name: typed.to_owned(),
                                deleted: false,
                                versions: vec![bytes],
                            };
                            model.insert(typed.to_lowercase(), secret);
                        }
                    }
                }
                Call::Set(index, bytes) => {
                    let typed = NAMES[index];
                    let result = store.set_secret(&name(typed), SecretValue::new(bytes.clone())?);
                    match model.get_mut(&typed.to_lowercase()) {
                        Some(secret) if secret.deleted => {
                            prop_assert!(deleted(&result));
                        }
                        Some(secret) => {
                            secret.versions.push(bytes);
                            prop_assert_eq!(result?.get() as usize, secret.versions.len());
                        }
                        None => prop_assert!(not_found(&result)),
                    }
                }
                Call::Delete(index) => {
                    let result = store.delete(&name(NAMES[index]));
                    match model.get_mut(&NAMES[index].to_lowercase()) {
                        Some(secret) if !secret.deleted => {
                            secret.deleted = true;
                            result?;
                        }
                        Some(_) => prop_assert!(deleted(&result)),
                        None => prop_assert!(not_found(&result)),
                    }
                }
                Call::Release(index, version) => {
                    let version = version.filter(|version| *version > 0);
                    let expected = model
                        .get(&NAMES[index].to_lowercase())
                        .filter(|secret| !secret.deleted)
                        .and_then(|secret| match version {
                            Some(version) => secret.versions.get(version as usize - 1),
                            None => secret.versions.last(),
                        });
                    prop_assert_eq!(get(&store, NAMES[index], version), expected.cloned());
                }
                Call::Reopen => {
                    drop(store);
                    store = bed.open()?;
                }
            }
        }
        let listed: Vec<_> = store
            .list()?
            .into_iter()
            .map(|info| {
                let deleted = info.state != SecretState::Active;
                let sizes: Vec<_> = info.versions.iter().map(|v| v.size as usize).collect();
                (info.name, deleted, sizes)
            })
            .collect();
        let expected: Vec<_> = model
            .into_values()
            .map(|secret| {
                let sizes = secret.versions.iter().map(Vec::len).collect();
                (secret.name, secret.deleted, sizes)
            })
            .collect();
        prop_assert_eq!(listed, expected);
        store.verify()?;
    }
}
