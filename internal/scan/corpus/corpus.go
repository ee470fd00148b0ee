// Package corpus generates files for tests of scanners: harmless ones, and ones that would
// do harm if their calls were not such as print. Everything is made from nothing, the same
// bytes each time.
package corpus

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"

	"assay/internal/scan"
)

// Case is a file and what a scan must say of it.
type Case struct {
	Name    string // "zip/encrypted"
	Data    []byte
	Want    scan.Status
	Rule    string // a rule that must be among the findings; empty for any
	Payload bool   // another scanner than the format's own decides
}

// All gives all cases, by name.
func All() []Case {
	all := slices.Concat(Pickles(), Zip(), Tar(), Compressed(), Safetensors(), GGUF(), Numpy(), ONNX(), TensorFlow(), JSON(), Code(), Polyglots(), HDF5(), TFLite(), XML(), Trees(),
		CatBoost(), RData(), CoreML(), Paddle(), Executables(), YAML(), Skops(), SevenZip(), SavedModel())
	slices.SortFunc(all, func(a, b Case) int { return cmp.Or(strings.Compare(a.Name, b.Name), bytes.Compare(a.Data, b.Data)) })
	return all
}

// Polyglots gives files that are two formats at once, both of them harmless.
func Polyglots() []Case {
	archive := PackZip(Member{Name: "notes.txt", Data: []byte("words\n")})
	tensors := safetensors(`{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, 16)
	var out []Case
	for _, c := range []struct {
		name string
		data [][]byte
	}{
		{"array and archive", [][]byte{npy("'<f4'", "(4,)", floats(4)), archive}}, {"pickle and archive", [][]byte{HarmlessPickle(), archive}},
		{"tensors and archive", [][]byte{tensors, archive}}, {"GGUF and archive", [][]byte{gguf{}.text("a", "b").tensor("w", 0, 0, 8).bytes(32), archive}},
		{"code and archive", [][]byte{[]byte("import os\n"), archive}}, {"JSON and archive", [][]byte{[]byte(`{"a":1}`), archive}},
		{"array and tar", [][]byte{npy("'<f4'", "(4,)", floats(4)), packTar(tar.Header{Name: "a.txt", Typeflag: tar.TypeReg, Uname: "words"})}},
		{"archive and pickle", [][]byte{archive, HarmlessPickle()}}, {"tar and pickle", [][]byte{packTar(tar.Header{Name: "a.txt", Typeflag: tar.TypeReg, Uname: "words"}), HarmlessPickle()}},
		{"graph and archive", [][]byte{onnxModel(onnxNode("Relu", "")), archive}}, {"array and pickle", [][]byte{npy("'<f4'", "(4,)", floats(4)), HarmlessPickle()}},
	} {
		out = append(out, Case{"polyglot/" + c.name, slices.Concat(c.data...), scan.Found, "", true})
	}
	return out
}

// Seeds gives the content of cases, for fuzzing.
func Seeds(cases []Case) [][]byte {
	var out [][]byte
	for _, c := range cases {
		out = append(out, c.Data)
	}
	return out
}

// Pickle calls print.
func Pickle() []byte { return []byte("\x80\x02cbuiltins\nprint\nU\x02hi\x85R.") }

// HarmlessPickle is a mapping with a list of numbers.
func HarmlessPickle() []byte {
	return []byte("\x80\x02}q\x00(X\x07\x00\x00\x00weightsq\x01]q\x02(G?\xf8\x00\x00\x00\x00\x00\x00G@\x04\x00\x00\x00\x00\x00\x00G@\x0c\x00\x00\x00\x00\x00\x00eX\x04\x00\x00\x00nameq\x03X\x06\x00\x00\x00linearq\x04u.")
}

// floats are n numbers of four bytes.
func floats(n int) []byte {
	var out []byte
	for i := range n {
		out = binary.LittleEndian.AppendUint32(out, 0x3f800000+uint32(i)*0x12345)
	}
	return out
}

func decoded(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// changed gives a copy of bytes with some written over.
func changed(b []byte, at int, with string) []byte {
	out := slices.Clone(b)
	copy(out[at:], with)
	return out
}
