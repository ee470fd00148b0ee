package corpus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"assay/internal/scan"
)

// safetensors makes a file of a header and a number of bytes.
func safetensors(header string, content int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), floats(content/4)...)
}

// Safetensors gives safetensors files.
func Safetensors() []Case {
	const f = `"dtype":"F32","shape":[2,2],"data_offsets":`
	token := "hf_" + strings.Repeat("aBcDeFgHiJ", 4)[:34]
	var out []Case
	add := func(name string, want scan.Status, rule, header string, content int) {
		out = append(out, Case{"safetensors/" + name, safetensors(header, content), want, rule, false})
	}
	for _, s := range []struct {
		name, header string
		content      int
	}{
		{"one", `{"a":{` + f + `[0,16]}}`, 16}, {"padded", `{"a":{` + f + `[0,16]}}     `, 16},
		{"two", `{"a":{` + f + `[0,16]},"b":{` + f + `[16,32]}}`, 32}, {"two in other order", `{"b":{` + f + `[16,32]},"a":{` + f + `[0,16]}}`, 32},
		{"metadata", `{"__metadata__":{"format":"pt","a":"b"},"a":{` + f + `[0,16]}}`, 16}, {"empty tensor", `{"a":{"dtype":"I64","shape":[0],"data_offsets":[0,0]},"b":{` + f + `[0,16]}}`, 16},
		{"scalar", `{"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}`, 8}, {"none", `{}`, 0},
		{"half", `{"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}`, 12}, {"four bits", `{"a":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}}`, 4},
	} {
		add(s.name, scan.Clean, "", s.header, s.content)
	}
	for _, s := range []struct {
		name, rule, header string
		content            int
	}{
		{"duplicate tensor", "safetensors-duplicate", `{"a":{` + f + `[0,16]},"a":{` + f + `[0,16]}}`, 16},
		{"duplicate by escape", "safetensors-duplicate", `{"a":{` + f + `[0,16]},"\u0061":{` + f + `[0,16]}}`, 16},
		{"duplicate field", "safetensors-duplicate", `{"a":{"dtype":"F32",` + f + `[0,16]}}`, 16},
		{"duplicate metadata", "safetensors-duplicate", `{"__metadata__":{"a":"1","a":"2"},"a":{` + f + `[0,16]}}`, 16},
		{"overlap", "safetensors-extent", `{"a":{` + f + `[0,16]},"b":{` + f + `[8,24]}}`, 24},
		{"same bytes", "safetensors-extent", `{"a":{` + f + `[0,16]},"b":{` + f + `[0,16]}}`, 16},
		{"gap", "safetensors-extent", `{"a":{` + f + `[0,16]},"b":{` + f + `[20,36]}}`, 36},
		{"gap first", "safetensors-extent", `{"a":{` + f + `[4,20]}}`, 20},
		{"more bytes", "safetensors-extent", `{"a":{` + f + `[0,16]}}`, 64}, {"fewer bytes", "safetensors-extent", `{"a":{` + f + `[0,16]}}`, 8},
		{"wrong shape", "safetensors-extent", `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}}`, 16},
		{"overflow", "safetensors-extent", `{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,16]}}`, 16},
		{"backwards", "safetensors-extent", `{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}`, 16},
		{"negative", "safetensors-header", `{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}`, 16},
		{"fraction", "safetensors-header", `{"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}`, 16},
		{"no type", "safetensors-header", `{"a":{"shape":[4],"data_offsets":[0,16]}}`, 16}, {"no offsets", "safetensors-header", `{"a":{"dtype":"F32","shape":[4]}}`, 16},
		{"metadata number", "safetensors-header", `{"__metadata__":{"a":1},"a":{` + f + `[0,16]}}`, 16},
		{"rest", "safetensors-header", `{"a":{` + f + `[0,16]}} import os`, 16}, {"no JSON", "safetensors-header", `{"a":`, 16},
		{"secret", "safetensors-secret", `{"__metadata__":{"token":"` + token + `"},"a":{` + f + `[0,16]}}`, 16},
		{"key", "safetensors-secret", `{"__metadata__":{"x":"-----BEGIN RSA PRIVATE KEY-----"},"a":{` + f + `[0,16]}}`, 16},
	} {
		add(s.name, scan.Found, s.rule, s.header, s.content)
	}
	add("type unknown", scan.Undecided, "safetensors-unknown", `{"a":{"dtype":"F99","shape":[4],"data_offsets":[0,16]}}`, 16)
	add("field unknown", scan.Undecided, "safetensors-unknown", `{"a":{"more":[1],`+f+`[0,16]}}`, 16)
	long := safetensors(`{"a":{`+f+`[0,16]}}`, 16)
	return append(out, Case{"safetensors/long header", changed(long, 0, "\x00\x00\x00\x00\x01\x00\x00\x00"), scan.Found, "safetensors-header", false})
}

// SafetensorsOfAnyLength gives files whose first byte, the length of the header, is each
// that there is: some are opcodes of pickles, and all are harmless.
func SafetensorsOfAnyLength() []Case {
	var out []Case
	for n := range 1500 {
		header := fmt.Sprintf(`{"a":{"dtype":"U8","shape":[16384],"data_offsets":[0,16384]}%s}`, strings.Repeat(" ", n))
		if n >= 256 && len(header)%128 != 0 {
			continue // but for those that begin as the header of a pickle
		}
		out = append(out, Case{fmt.Sprintf("safetensors/length %d", len(header)), safetensors(header, 16384), scan.Clean, "", false})
		if n < 256 && len(header)%8 == 0 { // as writers fill it up
			long := strings.Replace(header, `"a":`, `"__metadata__":{"x":"`+strings.Repeat("words ", 4*(1+n/8%2*7_500))+`"},"a":`, 1)
			out = append(out, Case{fmt.Sprintf("safetensors/length %d, longer", len(long)), safetensors(long, 16384), scan.Clean, "", false})
		}
	}
	return out
}

// gguf writes GGUF files.
type gguf struct {
	pairs, tensors         []byte
	pairCount, tensorCount uint64
}

func ggufText(s string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(s))), s...)
}

func (g gguf) pair(key string, kind uint32, value []byte) gguf {
	g.pairs = append(binary.LittleEndian.AppendUint32(append(bytes.Clone(g.pairs), ggufText(key)...), kind), value...)
	g.pairCount++
	return g
}

func (g gguf) text(key, value string) gguf { return g.pair(key, 8, ggufText(value)) }

func (g gguf) tensor(name string, kind uint32, offset uint64, shape ...uint64) gguf {
	g.tensors = binary.LittleEndian.AppendUint32(append(bytes.Clone(g.tensors), ggufText(name)...), uint32(len(shape)))
	for _, d := range shape {
		g.tensors = binary.LittleEndian.AppendUint64(g.tensors, d)
	}
	g.tensors = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(g.tensors, kind), offset)
	g.tensorCount++
	return g
}

func (g gguf) bytes(n int) []byte {
	out := append([]byte("GGUF"), 3, 0, 0, 0)
	out = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(out, g.tensorCount), g.pairCount)
	out = append(append(out, g.pairs...), g.tensors...)
	for len(out)%32 != 0 {
		out = append(out, 0)
	}
	return append(out, floats(n/4)...)
}

// GGUF gives GGUF files.
func GGUF() []Case {
	base := gguf{}.text("general.architecture", "llama").pair("llama.block_count", 4, []byte{1, 0, 0, 0})
	one := base.tensor("a", 0, 0, 8)
	template := func(s string) []byte {
		return base.text("tokenizer.chat_template", s).tensor("a", 0, 0, 8).bytes(32)
	}
	words := base.pair("tokenizer.ggml.tokens", 9, append([]byte{8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}, append(ggufText("<s>"), ggufText("a")...)...))
	count := changed(one.bytes(32), 8, "\xff\xff\xff\xff\xff\xff\xff\x7f")
	key := changed(one.bytes(32), 24, "\xff\xff\xff\xff\xff\xff\xff\x7f")
	clean, found := scan.Clean, scan.Found
	var out []Case
	for i, s := range []string{
		"{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% endfor %}",
		"{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] | trim }}{% endif %}",
		"{%- set ns = namespace(x=0) %}{%- for m in messages %}{%- set ns.x = ns.x + 1 %}{{ m.content.strip() | tojson }}{%- endfor %}{{ raise_exception('no') }}",
	} {
		out = append(out, Case{fmt.Sprintf("gguf/template %d", i), template(s), clean, "", false})
	}
	for i, s := range []string{
		"{% for c in [].__class__.__base__.__subclasses__() %}{% if c.__name__ == 'catch_warnings' %}{{ c()._module.__builtins__['print']('hi') }}{% endif %}{% endfor %}",
		"{{ cycler.__init__.__globals__.os.getcwd() }}", "{{ x|attr('__class__') }}", "{{ x['\\x5f\\x5fclass\\x5f\\x5f'] }}",
		"{{ self.__init__.__globals__ }}", "{{ (messages|first)('x') }}",
	} {
		out = append(out, Case{fmt.Sprintf("gguf/template harmful %d", i), template(s), found, "gguf-template", false})
	}
	for i, s := range []string{"{% include 'x' %}", "{{ unknown(1) }}", "{{ messages.popen('x') }}", "{{ unclosed"} {
		out = append(out, Case{fmt.Sprintf("gguf/template undecided %d", i), template(s), scan.Undecided, "gguf-template", false})
	}
	return append(out, []Case{
		{"gguf/one", one.bytes(32), clean, "", false}, {"gguf/two", one.tensor("b", 8, 32, 32).bytes(96), clean, "", false},
		{"gguf/metadata only", base.bytes(0), clean, "", false}, {"gguf/tokens", words.tensor("a", 1, 0, 4, 4).bytes(32), clean, "", false},
		{"gguf/alignment", base.pair("general.alignment", 4, []byte{32, 0, 0, 0}).tensor("a", 0, 0, 4).tensor("b", 0, 32, 4).bytes(48), clean, "", false},
		{"gguf/version 2", changed(one.bytes(32), 4, "\x02"), clean, "", false},
		{"gguf/quantised", base.tensor("a", 12, 0, 256, 2).bytes(288), clean, "", false},
		{"gguf/count of tensors", count, found, "gguf-header", false}, {"gguf/length of key", key, found, "gguf-header", false},
		{"gguf/duplicate key", base.text("general.architecture", "x").bytes(0), found, "gguf-duplicate", false},
		{"gguf/duplicate tensor", one.tensor("a", 0, 32, 8).bytes(64), found, "gguf-duplicate", false},
		{"gguf/overlap", one.tensor("b", 0, 0, 8).bytes(32), found, "gguf-extent", false},
		{"gguf/gap", one.tensor("b", 0, 96, 8).bytes(128), found, "gguf-extent", false},
		{"gguf/not aligned", base.tensor("a", 0, 8, 8).bytes(40), found, "gguf-extent", false},
		{"gguf/cut short", one.bytes(16), found, "gguf-extent", false}, {"gguf/more bytes", one.bytes(320), found, "gguf-extent", false},
		{"gguf/overflow", base.tensor("a", 0, 0, 1<<32, 1<<32, 4).bytes(0), found, "gguf-extent", false},
		{"gguf/part of a block", base.tensor("a", 12, 0, 100).bytes(64), found, "gguf-extent", false},
		{"gguf/dimensions", base.tensor("a", 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1).bytes(4), found, "gguf-header", false},
		{"gguf/truth", base.pair("x", 7, []byte{2}).bytes(0), found, "gguf-header", false},
		{"gguf/value type", base.pair("x", 99, nil).bytes(0), found, "gguf-header", false},
		{"gguf/array length", base.pair("x", 9, []byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}).bytes(0), found, "gguf-header", false},
		{"gguf/array depth", base.pair("x", 9, bytes.Repeat([]byte{9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 20)).bytes(0), found, "gguf-header", false},
		{"gguf/alignment zero", base.pair("general.alignment", 4, []byte{0, 0, 0, 0}).bytes(0), found, "gguf-header", false},
		{"gguf/version", changed(one.bytes(32), 4, "\x09"), found, "gguf-header", false},
		{"gguf/secret", base.text("general.author", "AKIA"+strings.Repeat("ABCD", 4)).bytes(0), found, "gguf-secret", false},
		{"gguf/type unknown", base.tensor("a", 77, 0, 8).bytes(32), scan.Undecided, "gguf-unknown", false},
	}...)
}

// npy makes an npy file as NumPy 1 and 2 do.
func npy(descr, shape string, content []byte) []byte {
	header := "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }"
	for (10+len(header)+1)%64 != 0 {
		header += " "
	}
	header += "\n"
	out := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	return append(append(out, header...), content...)
}

// Numpy gives npy files.
func Numpy() []Case {
	clean, found := scan.Clean, scan.Found
	float := npy("'<f4'", "(4,)", floats(4))
	return []Case{
		{"numpy/floats", float, clean, "", false}, {"numpy/scalar", npy("'<f8'", "()", floats(2)), clean, "", false},
		{"numpy/matrix", npy("'<i8'", "(2, 2)", floats(8)), clean, "", false}, {"numpy/empty", npy("'<i8'", "(0,)", nil), clean, "", false},
		{"numpy/text", npy("'<U2'", "(1,)", floats(2)), clean, "", false}, {"numpy/bytes", npy("'|S4'", "(2,)", floats(2)), clean, "", false},
		{"numpy/truth", npy("'|b1'", "(4,)", floats(1)), clean, "", false}, {"numpy/date", npy("'<M8[ns]'", "(1,)", floats(2)), clean, "", false},
		{"numpy/fields", npy("[('a', '<f4'), ('b', '<i4', (3,))]", "(1,)", floats(4)), clean, "", false},
		{"numpy/version 2", changed(append([]byte("\x93NUMPY\x02\x00\x76\x00\x00\x00"), float[10:]...), 8, string([]byte{float[8], float[9], 0, 0})), clean, "", false},
		{"numpy/objects harmless", npy("'|O'", "(1,)", HarmlessPickle()), clean, "", true},
		{"numpy/objects", npy("'|O'", "(1,)", Pickle()), found, "", true}, {"numpy/objects in fields", npy("[('a', '<f4'), ('b', 'O')]", "(1,)", Pickle()), found, "", true},
		{"numpy/pickle after", append(bytes.Clone(float), Pickle()...), found, "", true},
		{"numpy/expression", npy("__import__('os').getcwd()", "(1,)", floats(1)), scan.Undecided, "numpy-type", false},
		{"numpy/header code", npy("'<f4'", "(print('hi'),)", floats(1)), found, "numpy-header", false},
		{"numpy/cut short", float[:len(float)-1], found, "numpy-extent", false},
		{"numpy/overflow", npy("'<f8'", "(4294967296, 4294967296, 4)", nil), found, "numpy-extent", false},
		{"numpy/type unknown", npy("'<q8'", "(1,)", floats(2)), scan.Undecided, "numpy-type", false},
		{"numpy/version unknown", changed(float, 6, "\x09"), scan.Undecided, "", false},
	}
}
