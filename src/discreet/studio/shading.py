"""How light reaches a surface: what all shaders (GLSL) share, and the shaders put together.

Text only; `discreet.studio.stage` compiles it, `discreet.studio.surfaces` has the materials. Light
is linear; colours of textures are sRGB. One key light casts a shadow, a fill light and a rim light
do not, and sky and ground give the rest, dimmed where a surface is hidden from them.

Sources: wrapped diffuse light with a warm edge after d'Eon and Luebke 2007 (GPU Gems 3, ch. 14);
hidden light after McGuire et al. 2012 (Scalable Ambient Obscurance); its colour after Jimenez et
al. 2016 (Practical Realtime Strategies for Accurate Indirect Occlusion); hair after Kajiya and Kay
1989; bumps after Mikkelsen 2010.
"""

from discreet.studio.surfaces import (
    BROW,
    BROW_CUT,
    CLOTH,
    EYE,
    EYE_CUT,
    HAIR,
    HAIR_CUT,
    MOUTH,
    SKIN,
)

LIGHT_RANGE = 1.6
"""Linear light that the frame buffer's white stands for."""

VERTEX = """//VTK::System::Dec
in vec4 vertexMC;
in vec3 normalMC;
in vec2 tcoord;
in vec3 restMC;
uniform mat4 MCDCMatrix;
out vec3 position;
out vec3 facing;
out vec2 uv;
out vec3 rest;
void main() {
  position = vertexMC.xyz;
  facing = normalMC;
  uv = tcoord;
  rest = restMC;
  gl_Position = MCDCMatrix * vertexMC;
}
"""

_INPUT = """//VTK::System::Dec
//VTK::Output::Dec
in vec3 position;
in vec3 facing;
in vec2 uv;
in vec3 rest;

float coin(vec2 at) { return fract(52.9829189 * fract(dot(at, vec2(0.06711056, 0.00583715)))); }
float hash(vec3 p) { return fract(sin(dot(p, vec3(12.9898, 78.233, 37.719))) * 43758.5453); }
float noise(vec3 p) {
  vec3 i = floor(p), f = fract(p); f = f * f * (3.0 - 2.0 * f);
  float a = mix(mix(hash(i), hash(i + vec3(1,0,0)), f.x),
                mix(hash(i + vec3(0,1,0)), hash(i + vec3(1,1,0)), f.x), f.y);
  float b = mix(mix(hash(i + vec3(0,0,1)), hash(i + vec3(1,0,1)), f.x),
                mix(hash(i + vec3(0,1,1)), hash(i + vec3(1,1,1)), f.x), f.y);
  return mix(a, b, f.z);
}
"""

_LIGHT = """
uniform vec3 eyeAt;
uniform vec3 keyDir; uniform vec3 keyColour;
uniform vec3 fillDir; uniform vec3 fillColour;
uniform vec3 rimDir; uniform vec3 rimColour;
uniform vec3 skyColour; uniform vec3 groundColour;
uniform mat4 shadowMatrix; uniform float shadowTexel;
uniform float shadowSoft; uniform float shadowBias;
uniform mat4 viewMatrix;
uniform vec2 screen; uniform float tanHalf; uniform vec2 clip;
uniform sampler2D shadowMap; uniform sampler2D depthMap;

vec3 linear(vec3 c) { return pow(max(c, 0.0), vec3(2.2)); }

float far(sampler2D map, vec2 at) {     // depth in [0, 1], which comes as 24 bits in three bytes
  return dot(texture(map, at).rgb, vec3(255.0, 65280.0, 16711680.0)) / 16777215.0;
}

float lit(vec3 n) {                     // share of the key light that arrives
  vec3 at = (shadowMatrix * vec4(position + n * 0.02, 1.0)).xyz;
  float k = clamp(dot(n, keyDir), 0.2, 1.0), steep = sqrt(1.0 - k * k) / k;
  float turn = 6.2832 * coin(gl_FragCoord.xy), sum = 0.0;
  for (int i = 0; i < 10; i++) {
    float r = sqrt((float(i) + 0.5) / 10.0) * shadowSoft, a = turn + float(i) * 2.39996;
    vec2 q = at.xy + r * shadowTexel * vec2(cos(a), sin(a));
    sum += step(at.z - shadowBias * (1.0 + 0.7 * r * steep), far(shadowMap, q));
  }
  return sum / 10.0;
}

float open(vec3 n, float radius) {      // share of the sky that is not hidden by something near
  vec3 p = (viewMatrix * vec4(position, 1.0)).xyz, m = normalize(mat3(viewMatrix) * n);
  float px = radius / (-p.z * tanHalf) * 0.5 * screen.y, turn = 6.2832 * coin(gl_FragCoord.yx);
  float sum = 0.0, rr = radius * radius;
  for (int i = 0; i < 14; i++) {
    float s = (float(i) + 0.5) / 14.0, a = turn + float(i) * 2.39996;
    vec2 q = (gl_FragCoord.xy + s * sqrt(s) * px * vec2(cos(a), sin(a))) / screen;
    float z = clip.x * clip.y / (clip.y - far(depthMap, q) * (clip.y - clip.x));
    vec3 v = vec3((q * 2.0 - 1.0) * tanHalf * z, -z) - p;
    float vv = dot(v, v), f = max(rr - vv, 0.0) / rr;
    sum += f * f * f * max(dot(v, m) - 0.012, 0.0) / (vv + 0.004) ;
  }
  return max(0.0, 1.0 - sum * radius * 2.2 / 14.0);
}

vec3 bounced(float o, vec3 albedo) {    // light that comes back out of a fold, by its colour
  vec3 a = 2.0404 * albedo - 0.3324, b = -4.7951 * albedo + 0.6417, c = 2.7552 * albedo + 0.6903;
  return max(vec3(o), ((o * a + b) * o + c) * o);
}

vec3 around(vec3 n) { return mix(groundColour, skyColour, 0.5 + 0.5 * n.y); }

vec3 wrapped(vec3 n, vec3 l, vec3 wrap) {
  vec3 d = clamp((vec3(dot(n, l)) + wrap) / (1.0 + wrap), 0.0, 1.0);
  return pow(d, 1.0 + wrap);
}

float gleam(vec3 n, vec3 v, vec3 l, float power, float f0) {
  vec3 h = normalize(v + l);
  float fresnel = f0 + (1.0 - f0) * pow(1.0 - max(dot(v, h), 0.0), 5.0);
  return fresnel * (power + 8.0) / 25.13 * pow(max(dot(n, h), 0.0), power) * max(dot(n, l), 0.0);
}

vec3 bumped(vec3 n, float height) {
  vec3 sx = dFdx(position), sy = dFdy(position), r1 = cross(sy, n), r2 = cross(n, sx);
  float det = dot(sx, r1);
  vec3 slope = sign(det) * (dFdx(height) * r1 + dFdy(height) * r2);
  return normalize(abs(det) * n - slope);
}

void show(vec3 light) {
  vec3 shown = clamp(light / LIGHT_RANGE, 0.0, 1.0);
  gl_FragData[0] = vec4(pow(shown, vec3(1.0 / 2.2)), 1.0);
}
""".replace("LIGHT_RANGE", str(LIGHT_RANGE))

_CUT_OUT = """
uniform sampler2D SAMPLER; uniform vec3 maskColour;
void main() {
  if (is_cut(texture(SAMPLER, uv).a)) { discard; }
  gl_FragData[0] = vec4(maskColour, 1.0);
}
"""
_WHOLE = """
uniform vec3 maskColour;
void main() { gl_FragData[0] = vec4(maskColour, 1.0); }
"""

FRAGMENT = {
    "skin": _INPUT + _LIGHT + SKIN,
    "hair": _INPUT + _LIGHT + HAIR_CUT + HAIR,
    "brow": _INPUT + _LIGHT + BROW_CUT + BROW,
    "cloth": _INPUT + _LIGHT + CLOTH,
    "eye": _INPUT + _LIGHT + EYE_CUT + EYE,
    "mouth": _INPUT + _LIGHT + MOUTH,
}
"""Fragment shader of each material."""
OUTLINE = {
    "skin": _INPUT + _WHOLE,
    "hair": _INPUT + HAIR_CUT + _CUT_OUT.replace("SAMPLER", "hairMap"),
    "brow": _INPUT + BROW_CUT + _CUT_OUT.replace("SAMPLER", "hairMap"),
    "cloth": _INPUT + _WHOLE,
    "eye": _INPUT + EYE_CUT + _CUT_OUT.replace("SAMPLER", "eyeMap"),
    "mouth": _INPUT + _WHOLE,
}
"""The same surfaces without light, for depth and masks."""
