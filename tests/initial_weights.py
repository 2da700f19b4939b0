"""Glorot uniform weights of a 3-2-2 network with seed 42, as `Initializer::GlorotUniform` must give them: f32 bits, a
line each, layer by layer, weights [out, in] and then the bias.

Written apart from the Rust: python tests/initial_weights.py > tests/initial_weights.txt
"""
import math, struct

M = (1 << 64) - 1


def mix(v):
    z = (v + 0x9E3779B97F4A7C15) & M
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M
    return z ^ (z >> 31)


def uniform(seed, stream, place):
    key = mix(mix(seed) ^ stream)
    return (mix((key + 2 * place) & M) >> 11) / float(1 << 53)


print("# f32 bits; see initial_weights.py")
for layer, (inputs, outputs) in enumerate([(3, 2), (2, 2)]):
    bound = math.sqrt(6 / (inputs + outputs))
    for at in range(inputs * outputs):
        print(struct.pack(">f", bound * (2 * uniform(42, 2 * layer, at) - 1)).hex())
    for _ in range(outputs):
        print("00000000")
