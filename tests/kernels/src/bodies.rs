//! Five bodies that attract each other.
//!
//! Owns: arithmetic of floating-point numbers in a small memory.

const BODIES: usize = 5;
const STEP: f64 = 0.001;
const STEPS_IN_ROUND: u32 = 1000;

#[derive(Clone, Copy)]
struct Body {
    place: [f64; 3],
    speed: [f64; 3],
    mass: f64,
}

/// So many rounds of steps; gives the bits of the energy that is left.
pub(crate) fn run(rounds: u32) -> u64 {
    let mut bodies: [Body; BODIES] = std::array::from_fn(|n| {
        let n = n as f64;
        Body {
            place: [n * 3.1, n * 1.7 - 4.0, 0.3 * n],
            speed: [0.1 * n, 0.5 - 0.2 * n, 0.05],
            mass: 40.0 / (1.0 + n * n),
        }
    });
    for _ in 0..rounds * STEPS_IN_ROUND {
        advance(&mut bodies);
    }
    energy(&bodies).to_bits()
}

fn advance(bodies: &mut [Body; BODIES]) {
    for a in 0..BODIES {
        for b in a + 1..BODIES {
            let between: [f64; 3] = std::array::from_fn(|axis| bodies[a].place[axis] - bodies[b].place[axis]);
            let square: f64 = between.iter().map(|way| way * way).sum();
            let pull = STEP / (square * square.sqrt());
            let (mass_a, mass_b) = (bodies[a].mass, bodies[b].mass);
            for (axis, way) in between.into_iter().enumerate() {
                bodies[a].speed[axis] -= way * mass_b * pull;
                bodies[b].speed[axis] += way * mass_a * pull;
            }
        }
    }
    for body in bodies {
        for axis in 0..3 {
            body.place[axis] += STEP * body.speed[axis];
        }
    }
}

fn energy(bodies: &[Body; BODIES]) -> f64 {
    let mut energy = 0.0;
    for (a, body) in bodies.iter().enumerate() {
        energy += 0.5 * body.mass * body.speed.iter().map(|speed| speed * speed).sum::<f64>();
        for other in &bodies[a + 1..] {
            let square: f64 = (0..3).map(|axis| (body.place[axis] - other.place[axis]).powi(2)).sum();
            energy -= body.mass * other.mass / square.sqrt();
        }
    }
    energy
}
