//! The product of two matrices.
//!
//! Owns: loops over a memory that fits into a cache.

use crate::Noise;

const SIZE: usize = 96;

/// Multiplies so often; gives the bits of the sum of the last product.
pub(crate) fn run(rounds: u32) -> u64 {
    let mut noise = Noise::new();
    let mut random = || (noise.next() >> 40) as f64 / f64::from(1 << 24);
    let (mut a, b): (Vec<f64>, Vec<f64>) = (0..SIZE * SIZE).map(|_| (random(), random())).unzip();
    let mut product = vec![0.0; SIZE * SIZE];
    for _ in 0..rounds {
        multiply(&a, &b, &mut product);
        // What comes next depends on what came before.
        a[0] = product[0] / (SIZE * SIZE) as f64;
    }
    product.iter().sum::<f64>().to_bits()
}

fn multiply(a: &[f64], b: &[f64], product: &mut [f64]) {
    for (row, out) in a.chunks_exact(SIZE).zip(product.chunks_exact_mut(SIZE)) {
        out.fill(0.0);
        for (factor, row) in row.iter().zip(b.chunks_exact(SIZE)) {
            for (out, value) in out.iter_mut().zip(row) {
                *out += factor * value;
            }
        }
    }
}
