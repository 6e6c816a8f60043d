// Put into the page before its own script. What comes out of the loudspeaker is kept, what goes over the socket is noted,
// and the microphone stays silent until `ear.speak()` plays the browser's microphone file into it.
(() => {
    const ear = { frames: [], sockets: 0, marksOut: 0, clears: 0, call: '', wanted: null, speak: null };
    window.ear = ear;

    // A second line of the page's own listens to what the first one plays.
    const connect = AudioNode.prototype.connect;
    AudioNode.prototype.connect = function (target, ...rest) {
        if (target instanceof AudioDestinationNode) {
            const listener = new AudioWorkletNode(this.context, 'line');
            listener.port.onmessage = ({ data }) => ear.frames.push(data.bytes);
            connect.call(this, listener);
            connect.call(listener, target);
        }
        return connect.call(this, target, ...rest);
    };

    // Mu-law of the lowest eighth, of either sign.
    const isSilent = frame => frame.every(byte => (byte & 0x7f) >= 0x70);

    /** Whether all that was sent was played, and nothing heard for half a second. */
    ear.isQuiet = () => {
        const last = ear.frames.slice(-25);
        return ear.marksOut === 0 && last.length === 25 && last.every(isSilent);
    };

    /** Whether something is heard. */
    ear.isSounding = () => ear.frames.slice(-5).some(frame => !isSilent(frame));

    /** All that was heard, mu-law in base64. */
    ear.recording = () =>
        btoa(ear.frames.map(frame => String.fromCharCode(...frame)).join(''));

    window.WebSocket = class extends WebSocket {
        constructor(...args) {
            super(...args);
            ear.sockets += 1;
            // What another one sent and was not played is not played any more.
            ear.marksOut = 0;
            this.addEventListener('message', ({ data }) => {
                const { event } = JSON.parse(data);
                ear.clears += event === 'clear';
                ear.marksOut += event === 'mark';
            });
        }
        send(data) {
            const { event, start } = JSON.parse(data);
            ear.marksOut -= event === 'mark';
            ear.call = start?.callSid ?? ear.call;
            super.send(data);
        }
    };

    // Between the page's line and its microphone stands a silence, into which the file is played when told.
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async wanted => {
        ear.wanted = wanted;
        return new AudioContext().createMediaStreamDestination().stream;
    };
    const source = AudioContext.prototype.createMediaStreamSource;
    AudioContext.prototype.createMediaStreamSource = function () {
        const silence = this.createGain();
        let file = null;
        ear.speak = async () => {
            // The voice of the test is a signal, not a person: it must come through as it is.
            const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
            file?.getTracks().forEach(track => track.stop());
            file = await open({ audio });
            source.call(this, file).connect(silence);
        };
        return silence;
    };
})();
