//! The Work `load`: signs orders with a secret that no other component of the app has.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use leyden_guest::secret_bytes;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

#[derive(Deserialize)]
struct Order {
    customer: String,
    cents: u64,
}

#[derive(Serialize)]
struct Receipt {
    orders: usize,
    cents: u64,
    signature: String,
}

#[leyden_guest::work]
fn load(orders: Vec<Order>) -> Result<Receipt, Box<dyn std::error::Error>> {
    let key = secret_bytes("WAREHOUSE_KEY")?;
    let mut signature = Hmac::<Sha256>::new_from_slice(key.expose())?;
    for Order { customer, cents } in &orders {
        signature.update(format!("{customer}:{cents}\n").as_bytes());
    }
    Ok(Receipt {
        orders: orders.len(),
        cents: orders.iter().map(|order| order.cents).sum(),
        signature: HEXLOWER.encode(&signature.finalize().into_bytes()),
    })
}
