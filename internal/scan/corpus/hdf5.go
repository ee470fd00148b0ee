package corpus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"assay/internal/scan"
)

// hdf5 makes a file with a root group of one dataset, as HDF5 writes it by default, the
// root's attribute model_config, and further messages in the dataset's header.
func hdf5(config string, messages ...[]byte) []byte {
	le := binary.LittleEndian
	message := func(kind uint16, body []byte) []byte {
		for len(body)%8 != 0 {
			body = append(body, 0)
		}
		return append(le.AppendUint16(le.AppendUint16(nil, kind), uint16(len(body))), append([]byte{0, 0, 0, 0}, body...)...)
	}
	header := func(messages ...[]byte) []byte {
		all := bytes.Join(messages, nil)
		out := append([]byte{1, 0}, byte(len(messages)), 0, 1, 0, 0, 0)
		return append(le.AppendUint32(out, uint32(len(all))), append([]byte{0, 0, 0, 0}, all...)...)
	}
	out := make([]byte, 96)
	put := func(b []byte) uint64 {
		at := uint64(len(out))
		out = append(out, b...)
		for len(out)%8 != 0 {
			out = append(out, 0)
		}
		return at
	}
	attribute := slices.Concat([]byte{1, 0, 13, 0, 8, 0, 8, 0}, []byte("model_config\x00\x00\x00\x00"),
		[]byte{0x13, 0, 0, 0}, le.AppendUint32(nil, uint32(len(config))), []byte{1, 0, 0, 0, 0, 0, 0, 0}, []byte(config))
	dataset := []byte{1, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0}
	var more [][]byte
	for _, m := range messages {
		more = append(more, message(uint16(m[0]), bytes.Clone(m[1:])))
	}
	data := put(header(append([][]byte{message(1, dataset)}, more...)...))
	names := put(slices.Concat(make([]byte, 8), []byte("weights\x00")))
	heap := put(slices.Concat([]byte("HEAP\x00\x00\x00\x00"), le.AppendUint64(nil, 16), le.AppendUint64(nil, 1<<64-1), le.AppendUint64(nil, names)))
	symbols := put(slices.Concat([]byte("SNOD\x01\x00\x01\x00"), le.AppendUint64(nil, 8), le.AppendUint64(nil, data), make([]byte, 24)))
	tree := put(slices.Concat([]byte("TREE\x00\x00\x01\x00"), bytes.Repeat([]byte{0xff}, 16), make([]byte, 8), le.AppendUint64(nil, symbols), le.AppendUint64(nil, 8)))
	group := message(0x11, le.AppendUint64(le.AppendUint64(nil, tree), heap))
	parts := [][]byte{group}
	if config != "" {
		parts = append(parts, message(0x0c, attribute))
	}
	root := put(header(parts...))
	copy(out, "\x89HDF\r\n\x1a\n\x00\x00\x00\x00\x00\x08\x08\x00\x04\x00\x10\x00")
	le.PutUint64(out[32:], 1<<64-1)
	le.PutUint64(out[40:], uint64(len(out)))
	le.PutUint64(out[48:], 1<<64-1)
	le.PutUint64(out[64:], root)
	return out
}

// HDF5 gives HDF5 files.
func HDF5() []Case {
	dense := `{"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {"units": 1}}]}}`
	var out []Case
	for i, s := range []string{"", dense, `{"class_name":"Functional","config":{"layers":[]}}`, kerasModel(kerasLayer("keras.layers", "Dense", "null", `{"units":1}`)), `{"a"`, `{"{"{"`, `nothing`} {
		out = append(out, Case{fmt.Sprintf("hdf5/harmless %d", i), hdf5(s), scan.Clean, "", false})
	}
	lambda := strings.Replace(dense, "Dense", "Lambda", 1)
	for i, s := range []struct {
		rule, config string
	}{
		{"keras-lambda", lambda}, {"keras-lambda", "x" + lambda + "y"}, {"keras-lambda", strings.Replace(lambda, "Lambda", `\u004cambda`, 1)}, {"keras-lambda", "{\n\n " + lambda[1:]}, {"keras-lambda", `{"a": ` + lambda + `}`},
		{"keras-lambda", `{"a` + lambda}, {"keras-module", kerasModel(kerasLayer("os", "getcwd", "null", `{}`))}, {"keras-file", kerasModel(kerasLayer("keras.layers", "StringLookup", "null", `{"vocabulary":"/etc/passwd"}`))},
	} {
		out = append(out, Case{fmt.Sprintf("hdf5/harmful %d", i), hdf5(s.config), scan.Found, s.rule, false})
	}
	one := hdf5(dense)
	return append(out,
		Case{"hdf5/external dataset", hdf5("", append([]byte{7}, make([]byte, 24)...)), scan.Found, "hdf5-external", false},
		Case{"hdf5/NaN", hdf5(`{"config":{"x":NaN},"class_name":"Lambda"}`), scan.Undecided, "json-limit", false},
		Case{"hdf5/link message", hdf5("", append([]byte{6}, make([]byte, 24)...)), scan.Undecided, "hdf5-structure", false},
		Case{"hdf5/superblock 2", changed(one, 8, "\x02"), scan.Undecided, "hdf5-structure", false},
		Case{"hdf5/Lambda with superblock 2", changed(hdf5(lambda), 8, "\x02"), scan.Found, "keras-lambda", false},
		Case{"hdf5/cut short", one[:len(one)-20], scan.Undecided, "hdf5-structure", false},
		Case{"hdf5/trailing pickle", append(bytes.Clone(one), Pickle()...), scan.Found, "", true},
	)
}
