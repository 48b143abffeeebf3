"""What surfaces do with light: the shaders (GLSL) of skin, hair, cloth, eyes and the mouth.

Text only; what it calls is in `discreet.studio.shading`. `n` is the normal, `v` the direction to
the camera, `o` how open to the sky a place is, `s` how much of the key light arrives.
"""

SKIN = """
uniform sampler2D skinMap; uniform sampler2D faceMap; uniform sampler2D foldMap;
uniform vec3 tonePower; uniform vec3 toneTint; uniform vec4 faceBox;
uniform vec4 folds; uniform vec3 hairColour; uniform float scalp; uniform float stubble;
uniform float freckles; uniform float flush; uniform vec3 lipColour; uniform float gloss;
void main() {
  vec3 v = normalize(eyeAt - position), n = normalize(facing);
  vec2 at = (uv - faceBox.xy) / (faceBox.zw - faceBox.xy);
  bool inside = all(greaterThan(at, vec2(0.0))) && all(lessThan(at, vec2(1.0)));
  vec4 face = inside ? texture(faceMap, at) : vec4(0.0);      // lips, beard, scalp, blush
  vec4 fold = inside ? texture(foldMap, at) * folds : vec4(0.0);
  float crease = min(fold.x + fold.y + fold.z + fold.w, 1.5);
  n = bumped(n, -0.012 * crease + 0.0014 * noise(rest * 34.0));

  vec3 albedo = linear(pow(texture(skinMap, uv).rgb, tonePower) * toneTint);
  albedo *= 0.95 + 0.10 * noise(rest * 9.0);
  albedo = mix(albedo, albedo * vec3(1.06, 0.86, 0.84), flush * face.w);
  albedo = mix(albedo, lipColour * (0.75 + 0.5 * noise(rest * 30.0)), 0.6 * face.x);
  float spots = smoothstep(0.62, 0.82, noise(rest * 48.0));
  spots *= smoothstep(0.30, 0.7, noise(rest * 4.0)) * (1.0 - face.x);
  albedo *= mix(vec3(1.0), vec3(0.78, 0.66, 0.58), freckles * spots);
  float grain = 0.6 + 0.8 * noise(rest * 60.0);
  float beard = clamp(stubble * face.y * grain, 0.0, 0.92);
  float hair = clamp(scalp * face.z * (0.75 + 0.5 * grain), 0.0, 0.96);
  albedo = mix(albedo, linear(hairColour) * 0.8 + 0.015, beard);
  albedo = mix(albedo, linear(hairColour) * 0.9, hair);
  albedo *= 1.0 - 0.22 * min(crease, 1.0);

  float o = open(n, 0.8), s = lit(n), k = dot(n, keyDir);
  vec3 wrap = vec3(0.34, 0.16, 0.10);                         // red light travels furthest
  vec3 shade = mix(pow(vec3(s), vec3(0.72, 1.0, 1.06)), vec3(1.0), smoothstep(0.10, -0.15, k));
  vec3 light = keyColour * wrapped(n, keyDir, wrap) * shade * mix(1.0, o, 0.35);
  light += fillColour * wrapped(n, fillDir, wrap) * o;
  light += rimColour * wrapped(n, rimDir, wrap) * 0.5;
  light += around(n) * bounced(o, albedo);

  float wet = gloss * (1.0 - 0.8 * face.y * stubble) * (1.0 - 0.9 * face.z * scalp);
  wet += 0.25 * face.x;
  float broad = gleam(n, v, keyDir, 14.0, 0.028), tight = gleam(n, v, keyDir, 48.0, 0.028);
  vec3 shine = keyColour * s * (0.7 * broad + 0.35 * tight);
  shine += fillColour * o * 0.7 * gleam(n, v, fillDir, 14.0, 0.028);
  shine += rimColour * gleam(n, v, rimDir, 8.0, 0.03);
  float edge = pow(1.0 - max(dot(n, v), 0.0), 5.0);
  shine += around(reflect(-v, n)) * o * (0.014 + 0.22 * edge);
  show(albedo * light + wet * shine);
}
"""

HAIR_CUT = """
uniform float shortest; uniform float fringe;
bool is_cut(float a) {                  // thin hair is there in some samples and not in others
  float ends = 0.12 * noise(vec3(uv * 150.0, 3.0)) + 0.05 * noise(rest * 9.0);
  if (rest.y + 0.12 * rest.z < shortest + ends) { return true; }
  if (rest.z > 0.85 && abs(rest.x) < 0.62 && rest.y < fringe + ends) { return true; }
  vec2 cell = floor(uv * 1536.0);
  return a < 0.06 + 0.86 * coin(gl_FragCoord.xy + 17.0 * fract(cell * 0.1313));
}
"""

HAIR = """
uniform sampler2D hairMap; uniform vec3 hairColour; uniform float meanGrey; uniform float sheen;
uniform float variety; uniform float curl;
float along(vec3 t, vec3 v, vec3 l, float power) {
  float th = dot(t, normalize(v + l));
  return pow(max(1.0 - th * th, 0.0), power);
}
void main() {
  vec4 strand = texture(hairMap, uv);
  if (is_cut(strand.a)) { discard; }
  vec3 v = normalize(eyeAt - position), n = normalize(facing);
  n = normalize(n - 1.6 * min(dot(n, v), 0.0) * v);
  float detail = clamp(strand.r / meanGrey, 0.45, 1.9), lock = noise(vec3(uv * 60.0, 1.0));
  if (curl > 0.0) {
    lock = noise(rest * 26.0);
    detail = 0.55 + 0.9 * lock * (0.5 + noise(rest * 9.0));
    n = bumped(n, 0.05 * curl * lock);
  }
  vec3 base = linear(hairColour);
  vec3 albedo = base * mix(1.0, detail, 0.75) * (1.0 - variety * 0.5 + variety * lock);

  float o = open(n, 0.9), s = lit(n);
  vec3 light = keyColour * wrapped(n, keyDir, vec3(0.25)) * s;
  light += fillColour * wrapped(n, fillDir, vec3(0.25)) * o;
  light += rimColour * wrapped(n, rimDir, vec3(0.4)) + around(n) * o;

  vec3 down = normalize(vec3(0.0, 1.0, 0.0) - 0.999 * n.y * n);   // strands hang
  vec3 t = normalize(down + ((detail - 1.0) * 0.25 + (lock - 0.5) * 0.2) * n);
  vec3 shine = keyColour * s * along(t, v, keyDir, 36.0) * max(dot(n, keyDir) + 0.2, 0.0);
  shine += fillColour * o * along(t, v, fillDir, 24.0) * max(dot(n, fillDir) + 0.2, 0.0);
  shine += (rimColour * 1.2 + around(n) * 0.35) * pow(1.0 - abs(dot(n, v)), 3.0);
  show(albedo * light + sheen * (0.30 * base + 0.02) * min(shine, 1.5) * detail * o);
}
"""

BROW_CUT = """
uniform float density;
bool is_cut(float a) { return a * density < 0.04 + 0.92 * coin(gl_FragCoord.xy + 31.0); }
"""

BROW = """
uniform sampler2D hairMap; uniform vec3 hairColour;
void main() {
  if (is_cut(texture(hairMap, uv).a)) { discard; }
  vec3 n = normalize(facing);
  vec3 light = keyColour * wrapped(n, keyDir, vec3(0.3)) * lit(n);
  light += fillColour * wrapped(n, fillDir, vec3(0.3)) + around(n);
  show(linear(hairColour) * light);
}
"""

CLOTH = """
uniform sampler2D clothMap; uniform sampler2D weaveMap; uniform int hasWeave;
uniform vec3 colourA; uniform vec3 colourB; uniform vec3 legsColour;
uniform int pattern; uniform float scale;
float band(float x, float share) {
  float d = abs(fract(x) - 0.5) * 2.0, w = clamp(fwidth(x) * 2.0, 0.02, 0.6);
  return 1.0 - smoothstep(share - w, share + w, d);
}
float second() {                        // share of the second colour
  float across = rest.x, along = rest.y + 0.3 * rest.z;
  along -= 0.8 * max(abs(rest.x) - 1.2, 0.0);                 // sleeves hang
  along -= 0.6 * max(abs(rest.x) - 0.75, 0.0) * smoothstep(4.7, 5.4, rest.y);
  if (pattern == 1) { return band(along * scale, 0.42); }
  if (pattern == 2) { return 0.6 * band(across * scale * 2.4, 0.18); }
  if (pattern == 3) {
    return 0.4 * (band(along * scale * 1.2, 0.42) + band(across * scale * 1.2, 0.42));
  }
  if (pattern == 4) { return 0.8 * noise(rest * vec3(50.0, 90.0, 50.0)) * noise(rest * 14.0); }
  return 0.0;
}
vec3 woven(vec3 n) {                    // the normal map's bumps, without stored tangents
  vec3 sx = dFdx(position), sy = dFdy(position);
  vec2 du = dFdx(uv), dv = dFdy(uv);
  vec3 px = cross(sy, n), py = cross(n, sx);
  vec3 t = px * du.x + py * dv.x, b = px * du.y + py * dv.y;
  float longest = inversesqrt(max(max(dot(t, t), dot(b, b)), 1e-20));
  vec3 m = texture(weaveMap, uv).rgb * 2.0 - 1.0;
  return normalize(n * m.z + longest * (t * m.x + b * m.y));
}
void main() {
  vec4 weave = texture(clothMap, uv);
  vec3 v = normalize(eyeAt - position), n = normalize(facing);
  if (dot(n, v) < 0.0) { n = -n; }
  vec3 albedo = mix(linear(colourA), linear(colourB), clamp(second(), 0.0, 1.0));
  float zone = weave.g * 3.0;           // 0 fabric, 1 trousers, 2 a light shirt, 3 a tie
  if (zone > 0.5 && zone < 1.5 && rest.y < 1.0) { albedo = linear(legsColour); }
  if (zone > 1.5) { albedo = linear(zone < 2.5 ? vec3(0.87) : colourB); }
  albedo *= weave.r * 2.0;
  if (hasWeave == 1) { n = woven(n); }
  n = bumped(n, 0.003 * noise(rest * 26.0));

  float o = open(n, 0.9), s = lit(n);
  vec3 light = keyColour * wrapped(n, keyDir, vec3(0.12)) * s * mix(1.0, o, 0.3);
  light += fillColour * wrapped(n, fillDir, vec3(0.12)) * o;
  light += rimColour * wrapped(n, rimDir, vec3(0.1)) * 0.6 + around(n) * bounced(o, albedo);
  float edge = pow(1.0 - max(dot(n, v), 0.0), 4.0);
  show(albedo * light + 0.06 * edge * around(n) * o);
}
"""

EYE_CUT = "bool is_cut(float a) { return a < 0.5; }"

EYE = """
uniform sampler2D eyeMap; uniform vec3 eyeLeft; uniform vec3 eyeRight; uniform vec3 gazeDir;
void main() {
  vec4 ball = texture(eyeMap, uv);
  if (is_cut(ball.a)) { discard; }
  bool left = distance(position, eyeLeft) < distance(position, eyeRight);
  vec3 v = normalize(eyeAt - position), n = normalize(position - (left ? eyeLeft : eyeRight));
  vec3 side = normalize(cross(vec3(0.0, 1.0, 0.0), gazeDir));
  float cornea = smoothstep(0.80, 0.95, dot(n, gazeDir)), o = open(n, 0.5), s = lit(n);
  float lid = smoothstep(0.75, -0.05, n.y - gazeDir.y * 0.5);     // the upper lid's shadow
  float corner = smoothstep(0.95, 0.45, abs(dot(n, side)));
  float dim = mix(0.6, 1.0, lid) * mix(0.7, 1.0, corner) * mix(1.0, o, 0.5);
  vec3 light = keyColour * wrapped(n, keyDir, vec3(0.4)) * mix(0.5, 1.0, s);
  light += fillColour * wrapped(n, fillDir, vec3(0.4)) + around(n);

  vec3 m = normalize(n + 0.35 * cornea * (n - gazeDir)), back = reflect(-v, m);
  float glint = pow(max(dot(back, normalize(keyDir + vec3(0.0, 0.25, 0.0))), 0.0), 90.0);
  float second = pow(max(dot(back, normalize(fillDir + vec3(0.0, 0.3, 0.0))), 0.0), 60.0);
  vec3 shine = keyColour * glint * 0.9 * mix(0.4, 1.0, s) + fillColour * second * 0.35;
  shine += 0.05 * around(back) * cornea;
  show(linear(ball.rgb) * light * dim + shine * (0.3 + cornea));
}
"""

MOUTH = """
uniform vec3 colour; uniform float wet; uniform float deep; uniform vec3 mouthAt;
uniform float teeth;
void main() {
  vec3 v = normalize(eyeAt - position), n = normalize(facing);
  if (dot(n, v) < 0.0) { n = -n; }
  float inner = smoothstep(deep, 0.0, mouthAt.z - rest.z);
  float o = mix(open(n, 0.35), 1.0, 0.75 * teeth);
  float between = smoothstep(0.82, 1.0, abs(fract(rest.x * 11.5 + 0.5) * 2.0 - 1.0));
  vec3 albedo = linear(colour) * (1.0 - 0.22 * teeth * between);
  albedo *= 1.0 - 0.75 * teeth * smoothstep(0.12, 0.27, abs(rest.x));    // cheeks shade them
  vec3 light = keyColour * wrapped(n, keyDir, vec3(0.4)) * mix(0.35 + 0.4 * teeth, 1.0, lit(n));
  light += fillColour * wrapped(n, fillDir, vec3(0.4)) * 0.7 + around(n) * 0.8;
  vec3 shine = keyColour * gleam(n, v, keyDir, 40.0, 0.03);
  shine += fillColour * gleam(n, v, fillDir, 40.0, 0.03);
  show((albedo * light + wet * shine) * mix(0.18, 1.0, inner) * o);
}
"""
