// The two directions of the line, on the thread that must never be late: the microphone becomes frames of mu-law, and
// what the desk sends becomes sound. Marks and captions wait in the queue among the audio, and leave it when heard.

import { FRAME_SAMPLES, LINE_HZ, Resampler, fromMulaw, toMulaw } from './sound.js';

// What arrives unevenly is evened out by so much: playback begins with this in hand, or after as long.
const JITTER_SAMPLES = 0.06 * LINE_HZ;
// How much is taken from the queue at a time; a mark is early by no more.
const PIECE_SAMPLES = 32;

class Line extends AudioWorkletProcessor {
    constructor() {
        super();
        this.toLine = new Resampler(sampleRate, LINE_HZ);
        this.toEar = new Resampler(LINE_HZ, sampleRate);
        this.frame = [];
        this.sound = [];
        this.queue = [];
        this.queuedSamples = 0;
        this.waitedSamples = 0;
        this.isPlaying = false;
        this.isOpen = true;
        this.port.onmessage = ({ data }) => this.take(data);
    }

    take(message) {
        switch (message.kind) {
            case 'audio':
                this.queue.push({ audio: message.bytes, at: 0 });
                this.queuedSamples += message.bytes.length;
                break;
            case 'mark':
            case 'caption':
                this.queue.push(message);
                this.passMarks();
                break;
            case 'clear':
                this.clear();
                break;
            case 'close':
                this.isOpen = false;
                break;
        }
    }

    /** Drops what was not heard. Marks return all the same; captions do not, for nobody heard those words. */
    clear() {
        const marks = this.queue.filter(item => item.kind === 'mark');
        this.queue = [];
        this.sound = [];
        this.toEar = new Resampler(LINE_HZ, sampleRate);
        this.queuedSamples = 0;
        this.isPlaying = false;
        marks.forEach(mark => this.port.postMessage(mark));
    }

    /** Lets go of the marks and captions before which nothing is left to be heard. */
    passMarks() {
        while (this.queue.length > 0 && this.queue[0].kind === 'mark') {
            this.port.postMessage(this.queue.shift());
        }
        // A caption is shown with the first sound after it.
        while (this.isPlaying && this.queue.length > 0 && !this.queue[0].audio) {
            this.port.postMessage(this.queue.shift());
        }
    }

    /** The next samples of the line; silence where there are none. */
    piece() {
        const piece = new Float32Array(PIECE_SAMPLES);
        if (!this.isPlaying) {
            this.isPlaying = this.queuedSamples > 0
                && (this.queuedSamples >= JITTER_SAMPLES || this.waitedSamples >= JITTER_SAMPLES);
            this.waitedSamples = this.queuedSamples > 0 ? this.waitedSamples + PIECE_SAMPLES : 0;
        }
        for (let n = 0; this.isPlaying && n < PIECE_SAMPLES; n += 1) {
            this.passMarks();
            if (this.queue.length === 0) {
                this.isPlaying = false;
                this.waitedSamples = 0;
                break;
            }
            const item = this.queue[0];
            piece[n] = fromMulaw(item.audio[item.at]);
            item.at += 1;
            this.queuedSamples -= 1;
            if (item.at === item.audio.length) this.queue.shift();
        }
        this.passMarks();
        return piece;
    }

    process([microphone], [ear]) {
        const length = ear[0].length;
        const heard = microphone[0] ?? new Float32Array(length);
        for (const sample of this.toLine.run(heard)) {
            this.frame.push(toMulaw(sample));
            if (this.frame.length === FRAME_SAMPLES) {
                this.port.postMessage({ kind: 'frame', bytes: Uint8Array.from(this.frame) });
                this.frame = [];
            }
        }
        while (this.sound.length < length) {
            this.sound.push(...this.toEar.run(this.piece()));
        }
        const out = this.sound.splice(0, length);
        ear.forEach(channel => channel.set(out));
        return this.isOpen;
    }
}

registerProcessor('line', Line);
