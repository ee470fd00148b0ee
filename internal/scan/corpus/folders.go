package corpus

import (
	"encoding/binary"
	"slices"
	"strings"

	"assay/internal/scan"
)

// Folder is files that belong together, and what a scan must say of each.
type Folder struct {
	Name  string
	Files map[string][]byte
	Want  map[string]scan.Status
	Rules map[string]string // that must be among the findings
}

// onnxAt is a tensor of n numbers whose content is at a place of another file.
func onnxAt(location, offset, length string, n uint64) []byte {
	out := slices.Concat(varint(1, n), varint(2, 1), text(8, "w"), field(13, text(1, "location"), text(2, location)))
	if offset != "" {
		out = append(out, field(13, text(1, "offset"), text(2, offset))...)
	}
	if length != "" {
		out = append(out, field(13, text(1, "length"), text(2, length))...)
	}
	return field(5, out, varint(14, 1))
}

// openVINO is a network with weights of some bytes at an offset.
func openVINO(offset, size string) []byte {
	return []byte(`<?xml version="1.0"?><net name="m" version="11"><layers><layer id="0" name="c" type="Const" version="opset1"><data element_type="f32" shape="4" offset="` + offset + `" size="` + size + `"/></layer></layers></net>`)
}

// checkpoint is the index of a checkpoint with variables of n numbers each.
func checkpoint(kind, shard uint64, offsets []uint64, n uint64) []byte {
	var data []byte
	entry := func(key string, value []byte) {
		data = binary.AppendUvarint(append(data, 0), uint64(len(key)))
		data = append(append(binary.AppendUvarint(data, uint64(len(value))), key...), value...)
	}
	entry("", slices.Concat(varint(1, 1), field(3, varint(1, 1))))
	for i, o := range offsets {
		entry("layer/"+string(rune('a'+i)), slices.Concat(varint(1, kind), field(2, field(2, varint(1, n))), varint(3, shard), varint(4, o), varint(5, 4*n)))
	}
	end := []byte{0, 0, 0, 0, 1, 0, 0, 0} // one restart, at the start
	trailer := make([]byte, 5)
	data = append(data, end...)
	handle := binary.AppendUvarint(binary.AppendUvarint(nil, 0), uint64(len(data)))
	index := slices.Concat([]byte{0, 1, byte(len(handle)), 'z'}, handle, end)
	meta := slices.Concat(end)
	out := slices.Concat(data, trailer)
	at := func(b []byte) []byte {
		h := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(out))), uint64(len(b)))
		out = slices.Concat(out, b, trailer)
		return h
	}
	footer := slices.Concat(at(meta), at(index))
	footer = append(footer, make([]byte, 40-len(footer))...)
	return append(append(out, footer...), "\x57\xfb\x80\x8b\x24\x75\x47\xdb"...)
}

// raw are numbers that begin as nothing that is known.
func raw(n int) []byte { return changed(floats(n), 0, "\x01\x02\x03\x84") }

// Folders gives files that take numbers from others beside them.
func Folders() []Folder {
	one := func(name string, want scan.Status, rule string, files map[string][]byte, model, data string, of scan.Status) Folder {
		return Folder{name, files, map[string]scan.Status{model: want, data: of}, map[string]string{model: rule}}
	}
	onnx := func(tensors ...[]byte) []byte {
		return onnxModel(append(slices.Concat(tensors...), onnxNode("Relu", "")...))
	}
	padded := slices.Concat(raw(4), make([]byte, 4096-16), raw(4))
	clean, found, undecided := scan.Clean, scan.Found, scan.Undecided
	var out []Folder
	add := func(f ...Folder) { out = append(out, f...) }
	for name, tensors := range map[string][][]byte{
		"all": {onnxAt("m.data", "", "", 4)}, "with a length": {onnxAt("m.data", "0", "16", 4)}, "two": {onnxAt("m.data", "0", "8", 2), onnxAt("m.data", "8", "", 2)}, "shared": {onnxAt("m.data", "0", "16", 4), onnxAt("m.data", "0", "16", 4)},
	} {
		add(one("onnx/"+name, clean, "", map[string][]byte{"m.onnx": onnx(tensors...), "m.data": raw(4)}, "m.onnx", "m.data", clean))
	}
	add(
		one("onnx/aligned", clean, "", map[string][]byte{"m.onnx": onnx(onnxAt("m.data", "0", "16", 4), onnxAt("m.data", "4096", "16", 4)), "m.data": padded}, "m.onnx", "m.data", clean),
		one("onnx/in a folder", clean, "", map[string][]byte{"m.onnx": onnx(onnxAt("weights/a", "", "", 4)), "weights/a": raw(4)}, "m.onnx", "weights/a", clean),
		one("onnx/more than is taken", clean, "", map[string][]byte{"m.onnx": onnx(onnxAt("m.data", "0", "16", 4)), "m.data": raw(40)}, "m.onnx", "m.data", undecided),
		one("onnx/too short", found, "data-extent", map[string][]byte{"m.onnx": onnx(onnxAt("m.data", "0", "160", 40)), "m.data": raw(4)}, "m.onnx", "m.data", undecided),
		one("onnx/beyond the end", found, "data-extent", map[string][]byte{"m.onnx": onnx(onnxAt("m.data", "9223372036854775000", "16", 4)), "m.data": raw(4)}, "m.onnx", "m.data", undecided),
		one("onnx/length not that of the shape", found, "onnx-tensor", map[string][]byte{"m.onnx": onnx(onnxAt("m.data", "0", "12", 4)), "m.data": raw(4)}, "m.onnx", "m.data", undecided),
		one("onnx/offset no number", found, "onnx-tensor", map[string][]byte{"m.onnx": onnx(onnxAt("m.data", "-1", "16", 4)), "m.data": raw(4)}, "m.onnx", "m.data", undecided),
		one("onnx/not there", undecided, "data-missing", map[string][]byte{"m.onnx": onnx(onnxAt("other.data", "0", "16", 4)), "m.data": raw(4)}, "m.onnx", "m.data", undecided),
		one("onnx/data that is a pickle", clean, "", map[string][]byte{"m.onnx": onnx(onnxAt("m.data", "", "", 4)), "m.data": append(Pickle(), raw(4)...)}, "m.onnx", "m.data", found),
		one("onnx/data that is an unknown pickle", clean, "", map[string][]byte{"m.onnx": onnx(onnxAt("m.data", "0", "4", 1)), "m.data": []byte("\x80\x02cmine\nMine\n)\x81.")}, "m.onnx", "m.data", undecided),
		one("openvino/network", clean, "", map[string][]byte{"m.xml": openVINO("0", "16"), "m.bin": raw(4)}, "m.xml", "m.bin", clean),
		one("openvino/too short", found, "data-extent", map[string][]byte{"m.xml": openVINO("8", "16"), "m.bin": raw(4)}, "m.xml", "m.bin", undecided),
		one("openvino/no number", found, "xml-weights", map[string][]byte{"m.xml": openVINO("-8", "16"), "m.bin": raw(4)}, "m.xml", "m.bin", undecided),
		one("openvino/more than is taken", clean, "", map[string][]byte{"m.xml": openVINO("0", "16"), "m.bin": raw(8)}, "m.xml", "m.bin", undecided),
		one("checkpoint/one file", clean, "", map[string][]byte{"v.index": checkpoint(1, 0, []uint64{0, 16}, 4), "v.data-00000-of-00001": raw(8)}, "v.index", "v.data-00000-of-00001", clean),
		one("checkpoint/too short", found, "data-extent", map[string][]byte{"v.index": checkpoint(1, 0, []uint64{0, 16}, 4), "v.data-00000-of-00001": raw(6)}, "v.index", "v.data-00000-of-00001", undecided),
		one("checkpoint/file beyond the last", found, "checkpoint-structure", map[string][]byte{"v.index": checkpoint(1, 9, []uint64{0}, 4), "v.data-00000-of-00001": raw(4)}, "v.index", "v.data-00000-of-00001", undecided),
		one("checkpoint/type", undecided, "checkpoint-type", map[string][]byte{"v.index": checkpoint(21, 0, []uint64{0}, 4), "v.data-00000-of-00001": raw(4)}, "v.index", "v.data-00000-of-00001", clean),
	)
	slices.SortFunc(out, func(a, b Folder) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// SavedModel gives what stands beside a SavedModel's graph.
func SavedModel() []Case {
	metadata := func(layers string) []byte {
		return slices.Concat(field(1, text(3, "root"), text(4, "_tf_keras_model"), text(5, `{"class_name":"Functional","config":{"layers":[`+layers+`]}}`), field(6, varint(1, 2))), field(1, varint(2, 1), text(3, "root.layer-0"), text(4, "_tf_keras_layer"), text(5, `{"class_name":"Dense","config":{"units":1}}`)))
	}
	fingerprint := slices.Concat(varint(1, 1<<63+7), varint(2, 1<<62), varint(3, 1<<61), varint(4, 1<<60), field(6, varint(1, 1)))
	index := checkpoint(1, 0, []uint64{0, 16}, 4)
	return []Case{
		{"savedmodel/keras metadata", metadata(`{"class_name":"Dense","config":{}}`), scan.Clean, "", true},
		{"savedmodel/keras lambda", metadata(`{"class_name":"Lambda","config":{"function":["4wEAAAA=",null,null]}}`), scan.Found, "keras-lambda", true},
		{"savedmodel/keras field", append(metadata(""), text(9, "x")...), scan.Undecided, "keras-unknown", true},
		{"savedmodel/fingerprint", fingerprint, scan.Clean, "", false},
		{"savedmodel/index", index, scan.Clean, "", false},
		{"savedmodel/index block", changed(index, 0, "\x00\x00\xff\xff\xff\xff\x7f"), scan.Found, "checkpoint-structure", false},
		{"savedmodel/index footer", changed(index, len(index)-48, "\xff\xff\xff\xff\x7f\xff\xff\xff\xff\x7f"), scan.Found, "checkpoint-structure", false},
		{"savedmodel/index files", checkpoint(1, 3, []uint64{0}, 4), scan.Found, "checkpoint-structure", false},
		{"savedmodel/index pickle before", append(Pickle(), index...), scan.Found, "", true},
	}
}
