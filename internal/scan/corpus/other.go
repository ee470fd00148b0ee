package corpus

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"assay/internal/scan"
)

// tflite makes a model of one operator, by its number and the name of a custom one, and
// one buffer.
func tflite(builtin uint32, custom string) []byte {
	le := binary.LittleEndian
	name := append(le.AppendUint32(nil, uint32(len(custom))), custom...)
	for len(name)%4 != 0 || len(name) == 4+len(custom) {
		name = append(name, 0)
	}
	u32 := func(b []byte, values ...uint32) []byte {
		for _, v := range values {
			b = le.AppendUint32(b, v)
		}
		return b
	}
	u16 := func(values ...uint16) []byte {
		var b []byte
		for _, v := range values {
			b = le.AppendUint16(b, v)
		}
		return b
	}
	// Offsets: 0 root, 8 the root's fields, 24 the root, 44 the list of operators, 52 the
	// operator's fields, 64 the operator, 76 lists of no subgraph and of one buffer, 88 the
	// buffer's fields, 96 the buffer, 104 its bytes, 124 the name.
	out := append(u32(nil, 24), "TFL3"...)
	out = append(out, u16(14, 20, 4, 8, 12, 0, 16, 0)...)
	out = u32(out, 16, 3, 44-32, 76-36, 80-40)
	out = u32(out, 1, 64-48)
	out = append(out, u16(12, 12, 0, 4, 0, 8)...)
	out = u32(out, 12, 124-68, builtin)
	out = u32(out, 0, 1, 96-84)
	out = append(out, u16(6, 8, 4, 0)...)
	out = u32(out, 8, 104-100)
	return append(append(u32(out, 16), floats(4)...), name...)
}

// TFLite gives TensorFlow Lite models.
func TFLite() []Case {
	one := tflite(9, "")
	var out []Case
	for i, data := range [][]byte{one, tflite(0, ""), tflite(32, "TFLite_Detection_PostProcess"), tflite(151, "")} {
		out = append(out, Case{fmt.Sprintf("tflite/harmless %d", i), data, scan.Clean, "", false})
	}
	for _, op := range []string{"FlexPyFunc", "FlexEagerPyFunc", "FlexReadFile", "FlexWriteFile", "PyCallback", "FlexPrintV2"} {
		out = append(out, Case{"tflite/" + op, tflite(32, op), scan.Found, "tflite-operator", false})
	}
	return append(out,
		Case{"tflite/custom", tflite(32, "MyOwn"), scan.Undecided, "tflite-custom", false}, Case{"tflite/number", tflite(999, ""), scan.Undecided, "tflite-custom", false},
		Case{"tflite/root outside", changed(one, 0, "\xff\xff\xff\x7f"), scan.Found, "tflite-structure", false}, Case{"tflite/count", changed(one, 44, "\xff\xff\xff\x7f"), scan.Found, "tflite-structure", false},
		Case{"tflite/buffer outside", changed(one, 104, "\xff\xff\xff\x7f"), scan.Found, "tflite-structure", false}, Case{"tflite/cut short", one[:100], scan.Found, "tflite-structure", false},
	)
}

// XML gives PMML and other XML.
func XML() []Case {
	const pmml = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><Header/><DataDictionary><DataField name="x" optype="continuous" dataType="double"/></DataDictionary></PMML>`
	const net = `<net name="m" version="11"><layers><layer id="0" name="x" type="Parameter" version="opset1"/></layers></net>`
	var out []Case
	for i, s := range []string{pmml, net, "<!-- words --><PMML/>", `<?xml version="1.0"?><!DOCTYPE html><a>b</a>`, "<PMML><Extension name=\"a\" value=\"b\"/></PMML>"} {
		out = append(out, Case{fmt.Sprintf("xml/harmless %d", i), []byte(s), scan.Clean, "", false})
	}
	for i, s := range []struct{ rule, text string }{
		{"xml-entity", `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`}, {"xml-entity", `<!DOCTYPE a SYSTEM "https://example.org/x.dtd"><a/>`},
		{"xml-entity", `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;&x;">]><a>&y;</a>`}, {"xml-entity", `<!DOCTYPE a [<!ENTITY % x SYSTEM "x"> %x;]><a/>`},
		{"xml-include", `<?xml version="1.0"?><a><xi:include href="/etc/passwd"/></a>`}, {"xml-include", `<?xml version="1.0"?><?xml-stylesheet href="x.xsl"?><a/>`}, {"xml-include", `<PMML><script>print(1)</script></PMML>`},
		{"xml-secret", "<PMML><Header copyright=\"AKIA" + strings.Repeat("WXYZ", 4) + "\"/></PMML>"},
	} {
		out = append(out, Case{fmt.Sprintf("xml/harmful %d", i), []byte(s.text), scan.Found, s.rule, false})
	}
	return append(out,
		Case{"xml/cut short", []byte(pmml[:len(pmml)-20]), scan.Undecided, "xml-unread", false}, Case{"xml/deep", []byte("<PMML>" + strings.Repeat("<a>", 5000)), scan.Undecided, "xml-unread", false},
		Case{"xml/library", []byte(strings.Replace(net, "opset1", "mylibrary", 1)), scan.Undecided, "xml-library", false},
		Case{"xml/encoding", []byte(`<?xml version="1.0" encoding="UTF-7"?><a/>`), scan.Undecided, "xml-unread", false},
	)
}

// Trees gives models of decision trees.
func Trees() []Case {
	key := func(s string) []byte { return append([]byte{'L', 0, 0, 0, 0, 0, 0, 0, byte(len(s))}, s...) }
	object := func(parts ...[]byte) []byte { return slices.Concat([]byte("{"), slices.Concat(parts...), []byte("}")) }
	numbers := slices.Concat([]byte("[$d#L\x00\x00\x00\x00\x00\x00\x00\x02"), make([]byte, 8))
	model := object(key("learner"), object(key("weights"), numbers, key("name"), []byte("S"), key("gbtree"), key("flag"), []byte("T")), key("version"), []byte("[i\x02i\x00i\x03]"))
	short := object([]byte("i\x07version"), []byte("[#i\x02i\x01U\xff"))
	const text = "tree\nversion=v4\nnum_class=1\nfeature_names=a b\ntree_sizes=10\n\nTree=0\nnum_leaves=2\nleaf_value=0.1 0.2\n\nend of trees\n\nfeature_importances:\na=3\n\nparameters:\n[boosting: gbdt]\nend of parameters\n\npandas_categorical:[]\n"
	clean, found := scan.Clean, scan.Found
	return []Case{
		{"trees/ubjson", model, clean, "", false}, {"trees/ubjson short", short, clean, "", false},
		{"trees/ubjson length", changed(model, 20, "\x7f\x7f\x7f\x7f"), found, "ubjson-structure", false}, {"trees/ubjson cut short", model[:len(model)-4], found, "ubjson-structure", false},
		{"trees/ubjson type", object(key("version"), []byte("q")), found, "ubjson-structure", false}, {"trees/ubjson deep", slices.Concat([]byte("{"), key("version"), []byte(strings.Repeat("[", 5000))), found, "ubjson-structure", false},
		{"trees/ubjson negative", object(key("version"), []byte("Si\xffx")), found, "ubjson-structure", false}, {"trees/ubjson number", object(key("version"), []byte("[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff")), found, "ubjson-structure", false},
		{"trees/ubjson trailing pickle", append(slices.Clone(model), Pickle()...), found, "", true},
		{"trees/lightgbm", []byte(text), clean, "", false}, {"trees/lightgbm windows", []byte(strings.ReplaceAll(text, "\n", "\r\n")), clean, "", false},
		{"trees/lightgbm line", []byte(text + "__import__('os')\n"), scan.Undecided, "lightgbm-line", false}, {"trees/lightgbm pickle", append([]byte(text), Pickle()...), scan.Undecided, "", true},
	}
}
