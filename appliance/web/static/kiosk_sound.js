// Short soft tones, made here: being let in, being asked about, being refused.

const TONES = { welcome: [523, 784], asking: [440], factor: [440], refused: [220, 196], paused: [220, 196] };
const EACH_S = 0.18;
const LOUDNESS = 0.12;
let sounds = null;

/** Play what belongs to this state, if anything does. */
export function play(state) {
  const tones = TONES[state];
  if (!tones) return;
  sounds ??= new AudioContext();
  tones.forEach((hertz, which) => {
    const from = sounds.currentTime + which * EACH_S;
    const tone = new OscillatorNode(sounds, { frequency: hertz });
    const loudness = new GainNode(sounds, { gain: 0 });
    loudness.gain.setValueAtTime(0, from);
    loudness.gain.linearRampToValueAtTime(LOUDNESS, from + 0.02);
    loudness.gain.linearRampToValueAtTime(0, from + EACH_S);
    tone.connect(loudness).connect(sounds.destination);
    tone.start(from);
    tone.stop(from + EACH_S);
  });
}
