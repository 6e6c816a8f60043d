// One call from this page: microphone to the desk, the desk's voice to the ear, the words of both on the page. The
// socket carries the messages of Twilio's media streams, and captions beside.

import { FRAME_SAMPLES, LINE_HZ } from './sound.js';

const base = new URL('..', import.meta.url);
const tenant = new URLSearchParams(location.search).get('tenant');
const button = document.getElementById('talk');
const status = document.getElementById('status');
const captions = document.getElementById('captions');

const TROUBLE = {
    insecure: 'This page may only use the microphone over a secure connection (https).',
    NotAllowedError: 'The microphone is blocked. Allow it for this page in your browser, then start again.',
    NotFoundError: 'No microphone was found. Connect one, then start again.',
    NotReadableError: 'The microphone cannot be used. Another program may be using it.',
    unreachable: 'The desk cannot be reached. Check your connection, then start again.',
    unknown_tenant: 'There is no desk under this address. Check the link you were given.',
    over_limit: 'That were too many calls. Please wait a minute, then start again.',
    too_many_sockets: 'You are in several calls already. End one of them, then start again.',
    busy: 'The desk cannot take your call just now. Please try again in a minute.',
    lost: 'The connection was lost. Start again to go on talking.',
    broken: 'Something went wrong on this page. Please start again.',
};

/** How long is waited before each try to have a lost call go on. The desk keeps it for 15 s. */
const COME_BACK_AFTER_MS = [200, 500, 1000, 2000, 3000, 4000];
/** So much that was not sent is 3 s of sound: nobody is there who takes it. */
const DEAD_LINE_BYTES = 48_000;

class Trouble extends Error {
    constructor(kind) {
        super(TROUBLE[kind] ?? TROUBLE.busy);
        this.kind = kind;
    }
}

/** The call that is going on, if there is one. */
let call = null;

class Call {
    constructor() {
        this.isOver = false;
        this.beginStream();
    }

    /** Every socket carries a stream of its own. */
    beginStream() {
        this.streamSid = 'MZ' + crypto.randomUUID().replaceAll('-', '');
        this.sequence = 0;
        this.chunk = 0;
    }

    /** Opens microphone, session and socket, in this order: a session waits for nobody. */
    async begin() {
        if (!navigator.mediaDevices) throw new Trouble('insecure');
        this.audio = new AudioContext({ latencyHint: 'interactive' });
        // Some browsers let it run only if it is told to within the click.
        this.audio.resume();
        show('Waiting for the microphone …');
        this.microphone = await openMicrophone();
        this.check();
        show('Calling …');
        this.session = await openSession();
        this.check();
        await this.audio.audioWorklet.addModule(new URL('talk/line.js', base));
        this.check();
        this.line = new AudioWorkletNode(this.audio, 'line', {
            numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1],
        });
        this.line.port.onmessage = ({ data }) => this.fromLine(data);
        this.audio.createMediaStreamSource(this.microphone).connect(this.line);
        this.line.connect(this.audio.destination);
        this.microphone.getAudioTracks()[0].onended = () => this.end(new Trouble('NotReadableError'));
        this.openSocket();
    }

    /** The person may have ended the call while something was awaited. */
    check() {
        if (!this.isOver) return;
        this.close();
        throw new DOMException('ended', 'AbortError');
    }

    openSocket() {
        const url = new URL('browser-stream', base);
        url.protocol = url.protocol.replace('http', 'ws');
        const socket = new WebSocket(url);
        this.socket = socket;
        socket.onopen = () => {
            socket.send(JSON.stringify({ event: 'connected', protocol: 'Call', version: '1.0.0' }));
            this.send('start', {
                streamSid: this.streamSid, callSid: this.session.call, tracks: ['inbound'],
                mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: LINE_HZ, channels: 1 },
                customParameters: { token: this.session.token },
            });
            show('You are talking to ' + this.session.business + '.');
            label('End the call');
        };
        socket.onmessage = ({ data }) => {
            if (this.socket !== socket) return;
            this.hasBegun = true;
            this.fromDesk(JSON.parse(data));
        };
        socket.onclose = ({ code, reason }) => {
            if (this.socket !== socket) return;
            if (code === 1000 || reason === 'call_has_ended') this.end();
            else if (code === 1008) this.end(new Trouble(reason));
            else if (this.hasBegun) this.comeBack();
            else this.end(new Trouble('unreachable'));
        };
    }

    /** The task that held the call is gone, or the line to it: another goes on where it was. */
    async comeBack() {
        const dead = this.socket;
        this.socket = null;
        dead?.close();
        this.beginStream();
        this.line.port.postMessage({ kind: 'clear' });
        show('The connection was lost. Connecting again …');
        this.tries ??= COME_BACK_AFTER_MS.values();
        for (const wait of this.tries) {
            await new Promise(resolve => setTimeout(resolve, wait));
            if (this.isOver) return;
            try {
                this.session = await openSession(this.session.token);
            } catch (error) {
                if (error.kind === 'call_has_ended') return this.end();
                continue;
            }
            if (!this.isOver) this.openSocket();
            return;
        }
        this.end(new Trouble('lost'));
    }

    send(event, body) {
        if (this.socket?.readyState !== WebSocket.OPEN) return;
        this.sequence += 1;
        this.socket.send(JSON.stringify({
            event, sequenceNumber: String(this.sequence), streamSid: this.streamSid, [event]: body,
        }));
    }

    fromLine(message) {
        switch (message.kind) {
            case 'frame':
                // Before `start` nobody listens.
                if (this.sequence === 0) return;
                if (this.socket?.bufferedAmount > DEAD_LINE_BYTES) return this.comeBack();
                this.send('media', {
                    track: 'inbound', chunk: String(this.chunk + 1),
                    timestamp: String(this.chunk * 1000 * FRAME_SAMPLES / LINE_HZ),
                    payload: btoa(String.fromCharCode(...message.bytes)),
                });
                this.chunk += 1;
                break;
            case 'mark':
                this.send('mark', { name: message.name });
                break;
            case 'caption':
                caption(message.caption);
                break;
        }
    }

    fromDesk(message) {
        // The desk speaks: the next loss is a new one.
        this.tries = null;
        switch (message.event) {
            case 'media': {
                const bytes = Uint8Array.from(atob(message.media.payload), c => c.charCodeAt(0));
                if (bytes.length > 0) this.line.port.postMessage({ kind: 'audio', bytes });
                break;
            }
            case 'mark':
                this.line.port.postMessage({ kind: 'mark', name: message.mark.name });
                break;
            case 'clear':
                this.line.port.postMessage({ kind: 'clear' });
                break;
            case 'caption':
                // What the agent says is shown when it is heard.
                if (['agent_says', 'prompt'].includes(message.caption.kind)) {
                    this.line.port.postMessage({ kind: 'caption', caption: message.caption });
                } else {
                    caption(message.caption);
                }
                break;
        }
    }

    /** Ends the call from this side, or takes note that it is over. */
    end(trouble) {
        if (this.isOver) return;
        this.isOver = true;
        this.send('stop', { callSid: this.session?.call });
        this.close();
        if (call === this) call = null;
        label('Start talking');
        if (trouble) complain(trouble);
        else show('The call is over.');
    }

    close() {
        this.socket?.close(1000);
        this.line?.port.postMessage({ kind: 'close' });
        this.microphone?.getTracks().forEach(track => track.stop());
        if (this.audio && this.audio.state !== 'closed') this.audio.close();
    }
}

async function openMicrophone() {
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    try {
        return await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
        throw new Trouble(error.name in TROUBLE ? error.name : 'NotReadableError');
    }
}

/** A new call, or, with the token that let the lost socket in, the same one once more. */
async function openSession(lost) {
    let answer;
    try {
        answer = await fetch(new URL('talk/session', base), {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ tenant: tenant ?? '', lost }),
        });
    } catch {
        throw new Trouble('unreachable');
    }
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Trouble(body.error ?? 'busy');
    return body;
}

function show(text) {
    status.textContent = text;
    status.classList.remove('trouble');
}

function complain(trouble) {
    status.textContent = trouble instanceof Trouble ? trouble.message : TROUBLE.broken;
    status.classList.add('trouble');
}

function label(text) {
    button.textContent = text;
    button.setAttribute('aria-pressed', String(call !== null));
}

/** Shows words of either side. What was said and not heard does not stay. */
function caption({ kind, turn, text }) {
    const speaker = { caller_said: 'caller', prompt: 'desk' }[kind] ?? 'agent';
    let line = speaker === 'desk' ? null
        : captions.querySelector(`li[data-turn="${turn}"][data-speaker="${speaker}"]`);
    if (kind === 'agent_heard' && text === '') {
        line?.remove();
        return;
    }
    if (line === null) {
        line = document.createElement('li');
        if (turn !== undefined) line.dataset.turn = turn;
        line.dataset.speaker = speaker;
        const who = document.createElement('b');
        who.textContent = speaker === 'caller' ? 'You' : call?.session?.business ?? 'Desk';
        line.append(who, document.createElement('span'));
        captions.append(line);
    }
    const words = line.lastElementChild;
    words.textContent = kind === 'agent_says' && words.textContent ? `${words.textContent.trimEnd()} ${text}` : text;
    line.classList.toggle('interrupted', kind === 'agent_heard');
    line.scrollIntoView({ block: 'nearest' });
}

button.addEventListener('click', async () => {
    if (call) {
        call.end();
        return;
    }
    captions.replaceChildren();
    const begun = new Call();
    call = begun;
    label('Cancel');
    try {
        await begun.begin();
    } catch (error) {
        if (error.name !== 'AbortError') begun.end(error);
    }
});

addEventListener('pagehide', () => call?.end());
button.disabled = false;
