// The colours of terminals, and how they stay legible on the ground that they are on. Pure.

import { BOLD, DIM, REVERSE } from "./ansi.js";

export const GROUND = [13, 17, 23];
export const STDERR_GROUND = [42, 22, 25];
const TEXT = [214, 222, 230];
const SIXTEEN = [
  [72, 79, 88], [255, 123, 114], [86, 211, 100], [227, 179, 65], [121, 192, 255], [210, 168, 255], [86, 212, 221],
  [214, 222, 230], [139, 148, 158], [255, 161, 152], [126, 231, 135], [242, 204, 96], [165, 214, 255], [226, 197, 255],
  [179, 240, 255], [255, 255, 255],
];
const STEPS = [0, 95, 135, 175, 215, 255];
const LEAST_CONTRAST = 4.5;

/** Red, green and blue of a colour: its number in the palette of 256, or the three themselves. */
export function rgb(colour) {
  if (Array.isArray(colour)) return colour;
  if (colour < 16) return SIXTEEN[colour];
  if (colour >= 232) return Array(3).fill(8 + (colour - 232) * 10);
  const place = colour - 16;
  return [STEPS[Math.floor(place / 36)], STEPS[Math.floor(place / 6) % 6], STEPS[place % 6]];
}

/** What a style's text and ground look like on the ground that is there: {text, ground}; null for the usual ones. */
export function look({ fg, bg, flags }, under = GROUND) {
  const bright = flags & BOLD && typeof fg === "number" && fg < 8 ? fg + 8 : fg;
  let text = bright === null ? TEXT : rgb(bright);
  let ground = bg === null ? under : rgb(bg);
  if (flags & REVERSE) [text, ground] = [ground, text];
  if (flags & DIM) text = between(text, ground, 0.35);
  const told = legible(text, ground);
  return { text: told === TEXT ? null : told, ground: ground === under ? null : ground };
}

/** A colour like this one that can be read on the ground: nearer to white or black, as far as need be. */
export function legible(text, ground) {
  if (contrast(text, ground) >= LEAST_CONTRAST) return text;
  const target = luminance(ground) < 0.18 ? [255, 255, 255] : [0, 0, 0];
  for (let share = 0.1; share < 1; share += 0.1) {
    const mixed = between(text, target, share);
    if (contrast(mixed, ground) >= LEAST_CONTRAST) return mixed;
  }
  return target;
}

/** How two colours differ, 1 to 21, as WCAG counts it. */
export function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(colour) {
  const [r, g, b] = colour.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function between(one, other, share) {
  return one.map((value, i) => Math.round(value + (other[i] - value) * share));
}
