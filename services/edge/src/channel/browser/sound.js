// Sound as the phone network carries it: 8 kHz, G.711 mu-law.

export const LINE_HZ = 8000;
/** Samples of a frame: 20 ms. */
export const FRAME_SAMPLES = 160;

// What passes, and what must be gone where the line's 8 kHz would fold it back: 3.4 kHz is the telephone's band.
const PASS_HZ = 3400;
const STOP_HZ = LINE_HZ / 2;
// A Kaiser window of this shape is 80 dB down; its length follows from the width of the transition.
const STOP_DB = 80;
const BETA = 0.1102 * (STOP_DB - 8.7);
const HALF_WIDTH_S = (STOP_DB - 7.95) / (2 * 14.36 * (STOP_HZ - PASS_HZ));
const CUTOFF_HZ = (PASS_HZ + STOP_HZ) / 2;

/** The modified Bessel function of the first kind, order 0. */
function bessel(x) {
    let sum = 1;
    for (let k = 1, term = 1; term > 1e-12 * sum; k += 1) {
        term *= (x / (2 * k)) ** 2;
        sum += term;
    }
    return sum;
}

/** The low-pass, at a time from its middle. */
function lowPass(seconds) {
    const place = seconds / HALF_WIDTH_S;
    if (Math.abs(place) >= 1) return 0;
    const angle = 2 * Math.PI * CUTOFF_HZ * seconds;
    const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
    return 2 * CUTOFF_HZ * sinc * bessel(BETA * Math.sqrt(1 - place * place)) / bessel(BETA);
}

function greatestCommonDivisor(a, b) {
    return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/**
 * Changes the rate of a signal, between the line's and a sound card's in either direction, through one low-pass: a
 * windowed sinc, ready for each place that an output sample can have between two of the input.
 */
export class Resampler {
    constructor(fromHz, toHz) {
        const common = greatestCommonDivisor(fromHz, toHz);
        this.step = fromHz / common;
        this.phases = toHz / common;
        this.half = Math.ceil(HALF_WIDTH_S * fromHz);
        this.taps = 2 * this.half + 1;
        this.kernels = Array.from({ length: this.phases }, (_, phase) =>
            Float32Array.from({ length: this.taps }, (_, tap) =>
                lowPass((tap - this.half - phase / this.phases) / fromHz) / fromHz));
        this.held = new Float32Array(this.taps - 1);
        // Where the next output sample lies: `at` samples and `phase` parts of one from the first that is held.
        this.at = 0;
        this.phase = 0;
    }

    /** Takes in samples; gives those that follow from all so far. */
    run(samples) {
        const input = new Float32Array(this.held.length + samples.length);
        input.set(this.held);
        input.set(samples, this.held.length);
        const output = [];
        while (this.at + this.taps <= input.length) {
            const kernel = this.kernels[this.phase];
            let sum = 0;
            for (let tap = 0; tap < this.taps; tap += 1) sum += input[this.at + tap] * kernel[tap];
            output.push(sum);
            this.phase += this.step;
            this.at += Math.floor(this.phase / this.phases);
            this.phase %= this.phases;
        }
        const past = Math.min(this.at, input.length);
        this.held = input.slice(past);
        this.at -= past;
        return output;
    }
}

const BIAS = 132;
const LOUDEST = 32635;

/** A sample from -1 to 1 as a byte of mu-law (ITU-T G.711). */
export function toMulaw(sample) {
    const value = Math.max(-LOUDEST, Math.min(LOUDEST, Math.round(sample * 32768)));
    const sign = value < 0 ? 0x80 : 0;
    const biased = Math.abs(value) + BIAS;
    const exponent = 24 - Math.clz32(biased);
    const mantissa = (biased >> (exponent + 3)) & 0x0f;
    return ~(sign | (exponent << 4) | mantissa) & 0xff;
}

/** A byte of mu-law as a sample from -1 to 1. */
export function fromMulaw(byte) {
    const bits = ~byte & 0xff;
    const size = ((((bits & 0x0f) << 3) + BIAS) << ((bits >> 4) & 7)) - BIAS;
    return (bits & 0x80 ? -size : size) / 32768;
}
