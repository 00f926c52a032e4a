-- TCP-ENO (RFC 8547) and tcpcrypt (RFC 8548) for Wireshark and tshark, 4.0 or newer.
--
--   wireshark -X lua_script:tcpcrypt.lua -o tcpcrypt.keylog:KEYS CAPTURE
--   tshark -X lua_script:tcpcrypt.lua -o tcpcrypt.keylog:KEYS -r CAPTURE -V
--
-- It takes connections from their SYNs on: roles, key agreement and positions follow from those. With a key log
-- (Linecrypt's `debug.key_log`) it opens frames, checks their tags, and hands the data to the dissector of the port.

local bits = bit32
if not bits then -- Lua 5.3 and newer
  bits = load([[
    local m = 0xffffffff
    return {
      band = function(a, b) return a & b end, bor = function(a, b) return a | b end,
      bxor = function(a, b, c) return (a ~ b ~ (c or 0)) & m end, bnot = function(a) return ~a & m end,
      lshift = function(a, n) return (a << n) & m end, rshift = function(a, n) return (a & m) >> n end,
      rrotate = function(a, n) a = a & m; return ((a >> n) | (a << (32 - n))) & m end,
      lrotate = function(a, n) a = a & m; return ((a << n) | (a >> (32 - n))) & m end,
    }]])()
end
local band, bor, bxor, bnot = bits.band, bits.bor, bits.bxor, bits.bnot
local lshift, rshift, rrotate, lrotate = bits.lshift, bits.rshift, bits.rrotate, bits.lrotate
local byte, char, sub, rep, fmt = string.byte, string.char, string.sub, string.rep, string.format
local two32 = 4294967296
local unpack = table.unpack or unpack

local function be32(s, i)
  local a, b, c, d = byte(s, i, i + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function le32(s, i)
  local a, b, c, d = byte(s, i, i + 3)
  return ((d * 256 + c) * 256 + b) * 256 + a
end

local function to_be32(x) return char(rshift(x, 24), band(rshift(x, 16), 255), band(rshift(x, 8), 255), band(x, 255)) end
local function to_le32(x) return char(band(x, 255), band(rshift(x, 8), 255), band(rshift(x, 16), 255), rshift(x, 24)) end

-- xor of two strings of the same length.
local function xor(a, b)
  local out = {}
  for i = 1, #a do out[i] = char(bxor(byte(a, i), byte(b, i))) end
  return table.concat(out)
end

local function from_hex(h) return (h:gsub("%x%x", function(x) return char(tonumber(x, 16)) end)) end

---- SHA-256, HMAC and the expansions of RFC 8548 section 3.3 ---------------------------------------------------------

local sha_k = {}
do -- the fractional parts of the cube roots of the first 64 primes (FIPS 180-4 section 4.2.2)
  local n, p = 0, 2
  while n < 64 do
    local prime = true
    for d = 2, math.floor(math.sqrt(p)) do if p % d == 0 then prime = false break end end
    if prime then
      n = n + 1
      local r = p ^ (1 / 3)
      sha_k[n] = math.floor((r - math.floor(r)) * two32)
    end
    p = p + 1
  end
end
local sha_init = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 }

local function sha256(msg)
  local h = { unpack(sha_init) }
  local padded = msg .. "\128" .. rep("\0", (55 - #msg) % 64) .. "\0\0\0\0" .. to_be32(#msg * 8)
  local w = {}
  for at = 1, #padded, 64 do
    for i = 1, 16 do w[i] = be32(padded, at + 4 * (i - 1)) end
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      local s0 = bxor(rrotate(x, 7), rrotate(x, 18), rshift(x, 3))
      local s1 = bxor(rrotate(y, 17), rrotate(y, 19), rshift(y, 10))
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) % two32
    end
    local a, b, c, d, e, f, g, hh = h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]
    for i = 1, 64 do
      local s1 = bxor(rrotate(e, 6), rrotate(e, 11), rrotate(e, 25))
      local t1 = hh + s1 + bxor(band(e, f), band(bnot(e), g)) + sha_k[i] + w[i]
      local s0 = bxor(rrotate(a, 2), rrotate(a, 13), rrotate(a, 22))
      local t2 = s0 + bxor(band(a, b), band(a, c), band(b, c))
      hh, g, f, e, d, c, b, a = g, f, e, (d + t1) % two32, c, b, a, (t1 + t2) % two32
    end
    for i, x in ipairs({ a, b, c, d, e, f, g, hh }) do h[i] = (h[i] + x) % two32 end
  end
  local out = {}
  for i = 1, 8 do out[i] = to_be32(h[i]) end
  return table.concat(out)
end

local function hmac(key, msg)
  key = key .. rep("\0", 64 - #key)
  return sha256(xor(key, rep("\92", 64)) .. sha256(xor(key, rep("\54", 64)) .. msg))
end

local function next_master(mk) return hmac(mk, "\3\1") end

-- traffic returns key and nonce randomizer of a direction: "a" is what host A sends.
local function traffic(mk, from, key_len)
  local label = from == "a" and "\4" or "\5"
  local t1 = hmac(mk, label .. "\1")
  local okm = t1 .. hmac(mk, t1 .. label .. "\2")
  return sub(okm, 1, key_len), sub(okm, key_len + 1, key_len + 12)
end

---- AES (FIPS 197), forward only, and GCM (SP 800-38D) ---------------------------------------------------------------

local sbox = {}
do
  local p, q = 1, 1
  repeat -- p runs through the field by 3, q by its inverse
    p = band(bxor(p, lshift(p, 1), band(p, 0x80) ~= 0 and 0x1b or 0), 255)
    q = bxor(q, lshift(q, 1)); q = bxor(q, lshift(q, 2)); q = band(bxor(q, lshift(q, 4)), 255)
    if band(q, 0x80) ~= 0 then q = bxor(q, 0x09) end
    local function rot(n) return band(bor(lshift(q, n), rshift(q, 8 - n)), 255) end
    sbox[p] = bxor(bxor(q, rot(1), rot(2)), bxor(rot(3), rot(4)), 0x63)
  until p == 1
  sbox[0] = 0x63
end
local te = { {}, {}, {}, {} }
for x = 0, 255 do
  local s = sbox[x]
  local s2 = band(bxor(lshift(s, 1), s >= 128 and 0x1b or 0), 255)
  local w = ((s2 * 256 + s) * 256 + s) * 256 + bxor(s, s2)
  for i = 1, 4 do te[i][x] = rrotate(w, 8 * (i - 1)) end
end

local function sub_word(w)
  return ((sbox[rshift(w, 24)] * 256 + sbox[band(rshift(w, 16), 255)]) * 256 + sbox[band(rshift(w, 8), 255)]) * 256 + sbox[band(w, 255)]
end

local function aes_expand(key)
  local nk = #key / 4
  local rounds = nk + 6
  local w, rcon = {}, 1
  for i = 0, nk - 1 do w[i] = be32(key, 4 * i + 1) end
  for i = nk, 4 * rounds + 3 do
    local t = w[i - 1]
    if i % nk == 0 then
      t = bxor(sub_word(lrotate(t, 8)), lshift(rcon, 24))
      rcon = band(bxor(lshift(rcon, 1), rcon >= 128 and 0x1b or 0), 255)
    elseif nk > 6 and i % nk == 4 then
      t = sub_word(t)
    end
    w[i] = bxor(w[i - nk], t)
  end
  return { w = w, rounds = rounds }
end

local function aes_block(k, a, b, c, d)
  local w, t0, t1, t2, t3 = k.w, te[1], te[2], te[3], te[4]
  a, b, c, d = bxor(a, w[0]), bxor(b, w[1]), bxor(c, w[2]), bxor(d, w[3])
  local function mix(x, y, z, v, key)
    return bxor(bxor(t0[rshift(x, 24)], t1[band(rshift(y, 16), 255)], t2[band(rshift(z, 8), 255)]), t3[band(v, 255)], key)
  end
  local function last(x, y, z, v, key)
    return bxor(((sbox[rshift(x, 24)] * 256 + sbox[band(rshift(y, 16), 255)]) * 256 + sbox[band(rshift(z, 8), 255)]) * 256 + sbox[band(v, 255)], key)
  end
  for r = 1, k.rounds - 1 do
    a, b, c, d = mix(a, b, c, d, w[4 * r]), mix(b, c, d, a, w[4 * r + 1]), mix(c, d, a, b, w[4 * r + 2]), mix(d, a, b, c, w[4 * r + 3])
  end
  local at = 4 * k.rounds
  return last(a, b, c, d, w[at]), last(b, c, d, a, w[at + 1]), last(c, d, a, b, w[at + 2]), last(d, a, b, c, w[at + 3])
end

-- ghash_key returns the products of H with the sixteen values of the four leading bits.
local function ghash_key(h)
  local t = { [0] = { 0, 0, 0, 0 }, [8] = h }
  local v = h
  for _, i in ipairs({ 4, 2, 1 }) do
    local carry = band(v[4], 1)
    v = { bxor(rshift(v[1], 1), carry == 1 and 0xe1000000 or 0), bor(rshift(v[2], 1), lshift(band(v[1], 1), 31)),
      bor(rshift(v[3], 1), lshift(band(v[2], 1), 31)), bor(rshift(v[4], 1), lshift(band(v[3], 1), 31)) }
    t[i] = v
  end
  for _, i in ipairs({ 2, 4, 8 }) do
    for j = 1, i - 1 do
      local x, y = t[i], t[j]
      t[i + j] = { bxor(x[1], y[1]), bxor(x[2], y[2]), bxor(x[3], y[3]), bxor(x[4], y[4]) }
    end
  end
  return t
end

-- What the four bits that leave on the right do to the first word.
local ghash_reduce = {}
for x = 0, 15 do
  local v = 0
  for b = 0, 3 do if band(rshift(x, b), 1) == 1 then v = bxor(v, rshift(0xe1000000, 3 - b)) end end
  ghash_reduce[x] = v
end

local function ghash(t, msg)
  local a, b, c, d = 0, 0, 0, 0
  for at = 1, #msg, 16 do
    local words = { bxor(a, be32(msg, at)), bxor(b, be32(msg, at + 4)), bxor(c, be32(msg, at + 8)), bxor(d, be32(msg, at + 12)) }
    a, b, c, d = 0, 0, 0, 0
    for i = 4, 1, -1 do
      for shift = 0, 28, 4 do
        local out = band(d, 15)
        d = bor(rshift(d, 4), lshift(band(c, 15), 28))
        c = bor(rshift(c, 4), lshift(band(b, 15), 28))
        b = bor(rshift(b, 4), lshift(band(a, 15), 28))
        a = bxor(rshift(a, 4), ghash_reduce[out])
        local m = t[band(rshift(words[i], shift), 15)]
        a, b, c, d = bxor(a, m[1]), bxor(b, m[2]), bxor(c, m[3]), bxor(d, m[4])
      end
    end
  end
  return to_be32(a) .. to_be32(b) .. to_be32(c) .. to_be32(d)
end

local function pad16(s) return s .. rep("\0", -#s % 16) end

local function gcm_cipher(key)
  local k = aes_expand(key)
  local t = ghash_key({ aes_block(k, 0, 0, 0, 0) })
  local function stream(nonce, counter, n)
    local a, b, c = be32(nonce, 1), be32(nonce, 5), be32(nonce, 9)
    local out = {}
    for i = 1, math.ceil(n / 16) do
      local w, x, y, z = aes_block(k, a, b, c, counter + i - 1)
      out[i] = to_be32(w) .. to_be32(x) .. to_be32(y) .. to_be32(z)
    end
    return sub(table.concat(out), 1, n)
  end
  return function(nonce, aad, text, tag)
    local sum = ghash(t, pad16(aad) .. pad16(text) .. "\0\0\0\0" .. to_be32(#aad * 8) .. "\0\0\0\0" .. to_be32(#text * 8))
    if xor(sum, stream(nonce, 1, 16)) ~= tag then return nil end
    return xor(text, stream(nonce, 2, #text))
  end
end

---- ChaCha20-Poly1305 (RFC 8439) -------------------------------------------------------------------------------------

local function chacha_block(key, nonce, counter)
  local s = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }
  for i = 0, 7 do s[5 + i] = le32(key, 4 * i + 1) end
  s[13] = counter
  for i = 0, 2 do s[14 + i] = le32(nonce, 4 * i + 1) end
  local x = {}
  for i = 1, 16 do x[i] = s[i] end
  local function quarter(a, b, c, d)
    x[a] = (x[a] + x[b]) % two32; x[d] = lrotate(bxor(x[d], x[a]), 16)
    x[c] = (x[c] + x[d]) % two32; x[b] = lrotate(bxor(x[b], x[c]), 12)
    x[a] = (x[a] + x[b]) % two32; x[d] = lrotate(bxor(x[d], x[a]), 8)
    x[c] = (x[c] + x[d]) % two32; x[b] = lrotate(bxor(x[b], x[c]), 7)
  end
  for _ = 1, 10 do
    quarter(1, 5, 9, 13) quarter(2, 6, 10, 14) quarter(3, 7, 11, 15) quarter(4, 8, 12, 16)
    quarter(1, 6, 11, 16) quarter(2, 7, 12, 13) quarter(3, 8, 9, 14) quarter(4, 5, 10, 15)
  end
  local out = {}
  for i = 1, 16 do out[i] = to_le32((x[i] + s[i]) % two32) end
  return table.concat(out)
end

-- poly1305 counts in limbs of 13 bits, whose sums of products a double holds.
local function poly1305(key, msg)
  local function limbs(s, top)
    local l, acc, n = {}, 0, 0
    for i = 1, #s do
      acc, n = acc + byte(s, i) * 2 ^ n, n + 8
      while n >= 13 do l[#l + 1] = acc % 8192; acc, n = math.floor(acc / 8192), n - 13 end
    end
    acc = acc + top * 2 ^ n
    while #l < 10 do l[#l + 1] = acc % 8192; acc = math.floor(acc / 8192) end
    return l
  end
  local clamped = {}
  for i = 1, 16 do
    local b = byte(key, i)
    if i % 4 == 0 then b = band(b, 15) elseif i % 4 == 1 and i > 1 then b = band(b, 252) end
    clamped[i] = char(b)
  end
  local r, h = limbs(table.concat(clamped), 0), { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  local function carry()
    local c = 0
    for i = 1, 10 do
      local v = h[i] + c
      h[i], c = v % 8192, math.floor(v / 8192)
    end
    h[1] = h[1] + 5 * c
  end
  for at = 1, #msg, 16 do
    local m = limbs(sub(msg, at, at + 15), 1)
    for i = 1, 10 do h[i] = h[i] + m[i] end
    local p = {}
    for i = 1, 10 do
      local v = 0
      for j = 1, 10 do
        local k = i - j + 1
        v = v + h[j] * (k >= 1 and r[k] or 5 * r[k + 10])
      end
      p[i] = v
    end
    h = p
    carry() carry()
  end
  carry() carry()
  local g, c = {}, 5 -- h + 5 - 2^130: h is at least the prime if that does not borrow
  for i = 1, 10 do
    local v = h[i] + c
    g[i], c = v % 8192, math.floor(v / 8192)
  end
  if c > 0 then h = g end
  local out, acc, n, at, over = {}, 0, 0, 1, 0
  for i = 17, 32 do
    while n < 8 do acc, n, at = acc + (h[at] or 0) * 2 ^ n, n + 13, at + 1 end
    local v = acc % 256 + byte(key, i) + over
    acc, n, over = math.floor(acc / 256), n - 8, math.floor(v / 256)
    out[#out + 1] = char(v % 256)
  end
  return table.concat(out)
end

local function chacha_cipher(key)
  return function(nonce, aad, text, tag)
    local once = sub(chacha_block(key, nonce, 0), 1, 32)
    local sum = poly1305(once, pad16(aad) .. pad16(text) .. to_le32(#aad) .. "\0\0\0\0" .. to_le32(#text) .. "\0\0\0\0")
    if sum ~= tag then return nil end
    local out = {}
    for i = 1, math.ceil(#text / 64) do out[i] = chacha_block(key, nonce, i) end
    return xor(text, sub(table.concat(out), 1, #text))
  end
end

local aeads = {
  [0x0001] = { name = "AES-128-GCM", key_len = 16, cipher = gcm_cipher },
  [0x0002] = { name = "AES-256-GCM", key_len = 32, cipher = gcm_cipher },
  [0x0010] = { name = "CHACHA20-POLY1305", key_len = 32, cipher = chacha_cipher },
}

---- The key log ------------------------------------------------------------------------------------------------------

-- Lines are "TCPCRYPT CONTEXT AEAD MASTER SESSION-ID", all in hexadecimal. The context is what both ends of a connection and a
-- capture of it know alone: N_A of Init1, or, of a resumed session, host A's and host B's ENO option.
local keylog, keylog_name = {}, nil

local function read_keylog(name)
  keylog, keylog_name = {}, name
  if name == "" then return end
  local f, err = io.open(name, "r")
  if not f then
    report_failure("tcpcrypt: key log: " .. err)
    return
  end
  for line in f:lines() do
    local context, aead, mk, id = line:match("^TCPCRYPT (%x+) (%x+) (%x+) (%x+)%s*$")
    if context and #mk == 64 then
      keylog[context:lower()] = { aead = tonumber(aead, 16), master = from_hex(mk), id = id:lower() }
    end
  end
  f:close()
end

---- TCP-ENO ----------------------------------------------------------------------------------------------------------

local teps = { [0x21] = "TCPCRYPT_ECDHE_P256", [0x22] = "TCPCRYPT_ECDHE_P521", [0x23] = "TCPCRYPT_ECDHE_Curve25519", [0x24] = "TCPCRYPT_ECDHE_Curve448" }

local eno = Proto("tcpeno", "TCP Encryption Negotiation Option")
local ef = {
  option = ProtoField.bytes("tcpeno.option", "Option"),
  global = ProtoField.uint8("tcpeno.global", "Global suboption", base.HEX),
  aware = ProtoField.bool("tcpeno.aware", "Application-aware (a)", 8, nil, 0x02),
  passive = ProtoField.bool("tcpeno.passive", "Passive role (b)", 8, nil, 0x01),
  tep = ProtoField.uint8("tcpeno.tep", "TEP", base.HEX, teps, 0x7f),
  data = ProtoField.bytes("tcpeno.data", "Suboption data"),
  resume = ProtoField.bytes("tcpeno.resume.id", "Resumption identifier, half"),
  nonce = ProtoField.bytes("tcpeno.resume.nonce", "Resumption nonce"),
  malformed = ProtoField.string("tcpeno.malformed", "Malformed"),
}
eno.fields = { ef.option, ef.global, ef.aware, ef.passive, ef.tep, ef.data, ef.resume, ef.nonce, ef.malformed }

-- suboptions lists what an option of a SYN holds (RFC 8547 section 4.1), with offsets into the contents.
local function suboptions(s)
  local list, at, size = {}, 1, nil
  while at <= #s do
    local b = byte(s, at)
    if b < 0x20 then
      list[#list + 1] = { kind = "global", at = at, len = 1, value = b }
      at = at + 1
    elseif b >= 0x80 and b < 0xa0 then
      size = b - 0x80 + 1 -- a length byte: what follows is one suboption with that much data
      local t = byte(s, at + 1)
      if not t or at + 1 + size > #s then return list, "suboption longer than the option" end
      list[#list + 1] = { kind = "tep", at = at + 1, len = 1 + size, tep = band(t, 0x7f), data = sub(s, at + 2, at + 1 + size) }
      at = at + 2 + size
    elseif b >= 0xa0 then
      list[#list + 1] = { kind = "tep", at = at, len = #s - at + 1, tep = band(b, 0x7f), data = sub(s, at + 1) }
      break
    else
      list[#list + 1] = { kind = "tep", at = at, len = 1, tep = b, data = "" }
      at = at + 1
    end
  end
  return list
end

-- find_eno returns offset and length of the option in the bytes of all TCP options.
local function find_eno(s)
  local at = 1
  while at <= #s do
    local kind = byte(s, at)
    if kind == 0 then return end
    if kind == 1 then
      at = at + 1
    else
      local n = byte(s, at + 1)
      if not n or n < 2 or at + n - 1 > #s then return end
      if kind == 69 then return at, n end
      at = at + n
    end
  end
end

---- Connections ------------------------------------------------------------------------------------------------------

local f_options, f_stream = Field.new("tcp.options"), Field.new("tcp.stream")
local f_seq, f_hdr, f_tcp, f_len = Field.new("tcp.seq_raw"), Field.new("tcp.hdr_len"), Field.new("tcp"), Field.new("tcp.len")
local f_syn, f_ack = Field.new("tcp.flags.syn"), Field.new("tcp.flags.ack")
local f_src, f_dst = Field.new("tcp.srcport"), Field.new("tcp.dstport")

-- By stream index: options and initial sequence numbers of both ends, what was negotiated, and the halves. Filled in the first pass
-- over a capture; later ones look up what was noted of each packet.
local streams = {}
local noted, starts = {}, {}

local function sender(pinfo) return tostring(pinfo.src) .. "/" .. f_src().value end

local function bit_b(list)
  for _, o in ipairs(list) do if o.kind == "global" then return band(o.value, 1) == 1 end end
  return false
end

-- negotiate finds roles and TEP once both options are there (RFC 8547 sections 4.2 to 4.5).
local function negotiate(c)
  local ends = {}
  for who, e in pairs(c.ends) do ends[#ends + 1] = { who = who, e = e } end
  if #ends ~= 2 or not ends[1].e.eno or not ends[2].e.eno then return end
  local b1, b2 = bit_b(ends[1].e.list), bit_b(ends[2].e.list)
  if b1 == b2 then return end
  local b = b1 and ends[1] or ends[2]
  local a = b1 and ends[2] or ends[1]
  for i = #b.e.list, 1, -1 do
    local o = b.e.list[i]
    if o.kind == "tep" then
      for _, p in ipairs(a.e.list) do
        if p.kind == "tep" and p.tep == o.tep then
          c.tep, c.a, c.b = o.tep, a.who, b.who
          c.resumes = #o.data >= 9 and #p.data >= 9
          if c.resumes then c.context = (a.e.option_hex .. b.e.option_hex) end
          return
        end
      end
    end
  end
end

---- tcpcrypt ---------------------------------------------------------------------------------------------------------

local crypt = Proto("tcpcrypt", "tcpcrypt")
crypt.prefs.keylog = Pref.string("Key log", "", "File that Linecrypt's debug.key_log names: with it frames are opened")
crypt.prefs.hand_on = Pref.bool("Hand data to the port's dissector", true, "Dissect the opened data as the connection's port says")
local cf = {
  init = ProtoField.uint8("tcpcrypt.init", "Init message", base.DEC),
  length = ProtoField.uint32("tcpcrypt.init.length", "Length", base.DEC),
  cipher = ProtoField.uint16("tcpcrypt.cipher", "Cipher", base.HEX, { [1] = "AEAD_AES_128_GCM", [2] = "AEAD_AES_256_GCM", [16] = "AEAD_CHACHA20_POLY1305" }),
  nonce = ProtoField.bytes("tcpcrypt.init.nonce", "Nonce"),
  public = ProtoField.bytes("tcpcrypt.init.public", "Public key, and ignored bytes"),
  control = ProtoField.uint8("tcpcrypt.control", "Control", base.HEX),
  rekey = ProtoField.bool("tcpcrypt.rekey", "Rekey", 8, nil, 0x01),
  clen = ProtoField.uint16("tcpcrypt.clen", "Ciphertext length", base.DEC),
  ciphertext = ProtoField.bytes("tcpcrypt.ciphertext", "Ciphertext"),
  tag = ProtoField.bytes("tcpcrypt.tag", "Tag"),
  offset = ProtoField.uint64("tcpcrypt.offset", "Frame ID: offset in the stream", base.DEC),
  generation = ProtoField.uint32("tcpcrypt.generation", "Key generation", base.DEC),
  role = ProtoField.string("tcpcrypt.role", "Sent by host"),
  session = ProtoField.string("tcpcrypt.session", "Session ID"),
  opened = ProtoField.bool("tcpcrypt.opened", "Opened, tag is right"),
  flags = ProtoField.uint8("tcpcrypt.flags", "Flags", base.HEX),
  fin = ProtoField.bool("tcpcrypt.fin", "FINp", 8, nil, 0x01),
  urg = ProtoField.bool("tcpcrypt.urg", "URGp", 8, nil, 0x02),
  urgent = ProtoField.uint16("tcpcrypt.urgent", "Urgent", base.DEC),
  data = ProtoField.bytes("tcpcrypt.data", "Data"),
}
crypt.fields = { cf.init, cf.length, cf.cipher, cf.nonce, cf.public, cf.control, cf.rekey, cf.clen, cf.ciphertext, cf.tag, cf.offset,
  cf.generation, cf.role, cf.session, cf.opened, cf.flags, cf.fin, cf.urg, cf.urgent, cf.data }
local bad_tag = ProtoExpert.new("tcpcrypt.bad_tag", "The tag is not that of the logged key", expert.group.SECURITY, expert.severity.WARN)
local bad_frame = ProtoExpert.new("tcpcrypt.bad_frame", "Shorter than flags and tag", expert.group.MALFORMED, expert.severity.ERROR)
crypt.experts = { bad_tag, bad_frame }

local init_magic = { [0x15101a0e] = 1, [0x097105e0] = 2 }
local init_nonce = 32

-- A half is what one end sends: how far its stream has come, and its key generation.
local function half_of(c, who)
  local h = c.halves[who]
  if not h then
    h = { top = 0, generation = 0 }
    c.halves[who] = h
  end
  return h
end

-- position returns the stream offset of the first byte of a buffer that TCP hands over. Of a packet's own bytes the sequence number
-- tells; bytes put together from several packets begin where more was asked for.
local function position(c, h, who, tvb)
  local e, tcp = c.ends[who], f_tcp()
  local payload = tcp.offset + f_hdr().value
  if h.waits and tvb:offset() == 0 and tvb:len() > f_len().value then return h.waits end
  if not e or tvb:offset() < payload then return h.waits or h.top end
  local low = (f_seq().value - e.isn - 1 + tvb:offset() - payload) % two32
  local at = h.top - h.top % two32 + low
  if at > h.top + two32 / 2 and at >= two32 then at = at - two32 elseif at + two32 / 2 < h.top then at = at + two32 end
  return at
end

local function key_of(c, who, generation)
  if not c.context then return end
  local logged = keylog[c.context]
  if not logged or not aeads[logged.aead] then return nil, logged end
  c.masters = c.masters or { [0] = logged.master }
  for g = #c.masters + 1, generation do c.masters[g] = next_master(c.masters[g - 1]) end
  local h = half_of(c, who)
  h.keys = h.keys or {}
  local k = h.keys[generation]
  if not k then
    local alg = aeads[logged.aead]
    local key, nr = traffic(c.masters[generation], who == c.a and "a" or "b", alg.key_len)
    k = { open = alg.cipher(key), nr = nr }
    h.keys[generation] = k
  end
  return k, logged
end

-- open_as opens a frame under the keys of its sender's role, as it is believed.
local function open_as(c, who, note, frame)
  local k, logged = key_of(c, who, note.generation)
  if not k then return nil, logged end
  local id = rep("\0", 4) .. to_be32(math.floor(note.offset / two32)) .. to_be32(note.offset % two32)
  local n = #frame
  return k.open(xor(id, k.nr), sub(frame, 1, 3), sub(frame, 4, n - 16), sub(frame, n - 15)), logged
end

-- open tries the generation that the frame is said to be of, under the nonce of its offset. Keys of a resumed session go by the roles of
-- the original one, which a capture does not show: where they do not fit, they are tried the other way round, once.
local function open(c, who, note, frame)
  local plain, logged = open_as(c, who, note, frame)
  if plain or not logged or not c.resumes or c.fits then
    c.fits = c.fits or plain ~= nil
    return plain, logged
  end
  c.a, c.b = c.b, c.a
  for _, h in pairs(c.halves) do h.keys = nil end
  plain = open_as(c, who, note, frame)
  if plain then
    c.fits = true
  else
    c.a, c.b = c.b, c.a
    for _, h in pairs(c.halves) do h.keys = nil end
  end
  return plain, logged
end

local function show_init(tvb, pinfo, tree, c, kind)
  local t = tree:add(crypt, tvb(), "tcpcrypt Init" .. kind)
  t:add(cf.init, tvb(0, 4), kind)
  t:add(cf.length, tvb(4, 4))
  local at = 8
  if kind == 1 then
    local n = tvb(8, 1):uint()
    at = 9
    for _ = 1, n do
      if at + 2 > tvb:len() then return end
      t:add(cf.cipher, tvb(at, 2))
      at = at + 2
    end
  else
    t:add(cf.cipher, tvb(8, 2))
    at = 10
  end
  if at + init_nonce > tvb:len() then return end
  t:add(cf.nonce, tvb(at, init_nonce))
  if at + init_nonce < tvb:len() then t:add(cf.public, tvb(at + init_nonce)) end
  if kind == 1 and not pinfo.visited then c.context = tvb(at, init_nonce):bytes():tohex(true):lower() end
  pinfo.cols.info:append(" Init" .. kind)
end

local function show_plain(tree, pinfo, plain, tvb)
  local data = ByteArray.new(plain, true):tvb("Opened frame")
  local flags = byte(plain, 1)
  local t = tree:add(cf.flags, data(0, 1))
  t:add(cf.fin, data(0, 1))
  t:add(cf.urg, data(0, 1))
  local at = 1
  if band(flags, 2) ~= 0 and data:len() >= 3 then
    tree:add(cf.urgent, data(1, 2))
    at = 3
  end
  if band(flags, 1) ~= 0 then pinfo.cols.info:append(" FINp") end
  if at >= data:len() then return end
  tree:add(cf.data, data(at))
  return data(at):tvb()
end

-- dissect hands opened data to the dissector of the connection's port, and returns from where on that wants to see more, and how much more.
-- A dissector that cannot say so throws past Lua where its message ends with the data, and Lua's stack is full after some hundred times: so all may
-- ask for more. What it cannot read it has marked itself.
local function dissect(data, pinfo, tree, may_ask)
  local can, offset, len = pinfo.can_desegment, pinfo.desegment_offset, pinfo.desegment_len
  pinfo.can_desegment, pinfo.desegment_offset, pinfo.desegment_len = may_ask and 2 or 0, 0, 0
  local ports = DissectorTable.get("tcp.port")
  local low, high = math.min(f_src().value, f_dst().value), math.max(f_src().value, f_dst().value)
  for _, port in ipairs({ low, high }) do
    local d = ports:get_dissector(port)
    if d then
      local fine, taken = pcall(d.call, d, data, pinfo, tree)
      if not fine or taken ~= 0 then break end
    end
  end
  local from, more = pinfo.desegment_offset, pinfo.desegment_len
  pinfo.can_desegment, pinfo.desegment_offset, pinfo.desegment_len = can, offset, len
  return from, more
end

-- What a dissector may ask for instead of a number of bytes.
local one_more, until_fin = 0x0fffffff, 0x0ffffffe

-- hand_on dissects the data of a frame of n bytes, behind what was kept of the frames before because the dissector wanted to see more. A frame that
-- was seen before is part of a message that was dissected; what is kept does not outlive a hole. Later passes do as was noted in the first.
local function hand_on(data, pinfo, tree, h, note, n, fin)
  if note.message == nil then
    note.message = false
    if note.offset < (h.handed or 0) then return end
    if h.handed ~= note.offset then h.kept = nil end
    h.handed = note.offset + n
    local k = h.kept
    if k then
      k[#k + 1] = data and data:raw() or ""
      k.size = k.size + #k[#k]
      local ends = fin and k.wants == until_fin
      if not ends and (k.size < k.wants or not data) then return end
      h.kept = nil
      note.message, note.ends = table.concat(k), ends
    else
      note.message = data ~= nil
    end
  end
  if not note.message then return end
  if note.message ~= true then data = ByteArray.new(note.message, true):tvb("Opened data") end
  local from, more = dissect(data, pinfo, tree, not note.ends)
  if more > 0 and from < data:len() and not note.asked then
    local rest = data:raw(from)
    h.kept = { rest, size = #rest, wants = more == until_fin and until_fin or more == one_more and #rest + 1 or #rest + more }
  end
  note.asked = true
end

local function show_frame(tvb, pinfo, tree, c, who, note)
  local n = tvb:len()
  local t = tree:add(crypt, tvb(), fmt("tcpcrypt frame, %d bytes of data at most", n - 20))
  t:add(cf.control, tvb(0, 1)):add(cf.rekey, tvb(0, 1))
  t:add(cf.clen, tvb(1, 2))
  if n < 20 then
    t:add_proto_expert_info(bad_frame)
    return
  end
  t:add(cf.ciphertext, tvb(3, n - 19))
  t:add(cf.tag, tvb(n - 16, 16))
  t:add(cf.role, who == c.a and "A" or "B"):set_generated()
  t:add(cf.offset, UInt64.new(note.offset % two32, math.floor(note.offset / two32))):set_generated()
  t:add(cf.generation, note.generation):set_generated()
  pinfo.cols.info:append(band(tvb(0, 1):uint(), 1) == 1 and " Frame (rekey)" or " Frame")
  local plain, logged = open(c, who, note, tvb:raw())
  if not logged then return end
  t:add(cf.session, logged.id):set_generated()
  t:add(cf.opened, plain ~= nil):set_generated()
  if not plain then
    t:add_proto_expert_info(bad_tag)
    return
  end
  local data = show_plain(t, pinfo, plain)
  if crypt.prefs.hand_on then hand_on(data, pinfo, tree, half_of(c, who), note, n, band(byte(plain, 1), 1) == 1) end
end

-- message shows the Init message or frame at the beginning of tvb. It returns its length, or how many bytes more are needed.
local function message(tvb, pinfo, tree, c, who, h, at)
  if tvb:len() < 3 then return nil, 3 - tvb:len() end
  local kind
  if at == 0 and not c.resumes then
    if tvb:len() < 9 then return nil, 9 - tvb:len() end
    kind = init_magic[tvb(0, 4):uint()]
  end
  local n = kind and tvb(4, 4):uint() or 3 + tvb(1, 2):uint()
  if kind and (n < 10 or n > 65536) then kind, n = nil, 3 + tvb(1, 2):uint() end
  if tvb:len() < n then return nil, n - tvb:len() end
  local pdu = tvb(0, n):tvb()
  if kind then
    show_init(pdu, pinfo, tree, c, kind)
    return n
  end
  local key = fmt("%d/%d/%d", pinfo.number, tvb:offset(), at)
  local note = noted[key]
  if not note then
    if at >= h.top and band(tvb(0, 1):uint(), 1) == 1 then h.generation = h.generation + 1 end
    note = { offset = at, generation = at >= h.top and h.generation or (h.by_offset and h.by_offset[at]) or h.generation }
    h.by_offset = h.by_offset or {}
    h.by_offset[at] = note.generation
    noted[key] = note
  end
  show_frame(pdu, pinfo, tree, c, who, note)
  return n
end

function crypt.dissector(tvb, pinfo, tree)
  if keylog_name ~= crypt.prefs.keylog then read_keylog(crypt.prefs.keylog) end
  local c = streams[f_stream().value]
  if not c or not c.tep then return 0 end
  local who = sender(pinfo)
  local h = half_of(c, who)
  local first = fmt("%d/%d/%d", pinfo.number, tvb:offset(), tvb:len())
  local at = starts[first]
  if not at then
    at = position(c, h, who, tvb)
    starts[first] = at
  end
  pinfo.cols.protocol = "tcpcrypt"
  local done = 0
  while done < tvb:len() do
    local n, more = message(tvb(done):tvb(), pinfo, tree, c, who, h, at + done)
    if not n then
      h.waits = at + done
      pinfo.desegment_offset = done
      pinfo.desegment_len = more
      return tvb:len()
    end
    done = done + n
    h.waits = nil
    if at + done > h.top then h.top = at + done end
  end
  return done
end

-- What every TCP segment goes through: the options of SYNs, and the connection's dissector once both are there.
local function show_option(tvb, tree, options, at, n, syn)
  local range = tvb(options.offset + at - 1, n)
  local t = tree:add(eno, range, "TCP Encryption Negotiation Option" .. (n == 2 and ": confirms" or ""))
  t:add(ef.option, range)
  if not syn then return end
  local contents = range(2, n - 2)
  if n == 2 then return end
  local list, malformed = suboptions(contents:raw())
  for _, o in ipairs(list) do
    local r = contents(o.at - 1, o.len)
    if o.kind == "global" then
      local g = t:add(ef.global, r)
      g:add(ef.aware, r)
      g:add(ef.passive, r)
    else
      local s = t:add(ef.tep, r(0, 1))
      if #o.data > 0 then s:add(ef.data, r(1)) end
      if teps[o.tep] and #o.data >= 9 then
        s:add(ef.resume, r(1, 9))
        if #o.data > 9 then s:add(ef.nonce, r(10)) end
      end
    end
  end
  if malformed then t:add(ef.malformed, range, malformed) end
end

function eno.dissector(tvb, pinfo, tree)
  local options, stream = f_options(), f_stream()
  if not options or not stream then return end
  local raw = options.range:raw()
  local at, n = find_eno(raw)
  local syn = f_syn().value
  if at then show_option(tvb, tree, options, at, n, syn) end
  if not syn or pinfo.visited then return end
  local c = streams[stream.value]
  if not c then
    c = { ends = {}, halves = {} }
    streams[stream.value] = c
  end
  local option = at and sub(raw, at, at + n - 1) or nil
  c.ends[sender(pinfo)] = {
    isn = f_seq().value, eno = option, list = option and suboptions(sub(option, 3)) or {},
    option_hex = option and (option:gsub(".", function(x) return fmt("%02x", byte(x)) end)) or nil,
  }
  negotiate(c)
  if c.tep then pinfo.conversation = crypt end
end

function crypt.init()
  streams, noted, starts = {}, {}, {}
  read_keylog(crypt.prefs.keylog)
end

register_postdissector(eno)
