// Package corpus generates files for tests of scanners: harmless ones, and ones that would
// do harm if their calls were not such as print. Everything is made from nothing, the same
// bytes each time.
package corpus

import (
	"encoding/base64"
	"encoding/binary"
	"slices"

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

// All gives all cases.
func All() []Case {
	return slices.Concat(Zip(), Tar(), Compressed(), Safetensors(), GGUF(), Numpy(), ONNX(), TensorFlow(), JSON(), Code())
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
