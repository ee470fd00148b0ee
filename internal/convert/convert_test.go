package convert

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writer writes pickles of protocol 2, as torch.save does.
type writer struct{ bytes.Buffer }

func (w *writer) op(s string) *writer { w.WriteString(s); return w }
func (w *writer) text(s string) *writer {
	w.WriteByte('X')
	w.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
	return w.op(s)
}
func (w *writer) int(n int) *writer {
	w.WriteByte('J')
	w.Write(binary.LittleEndian.AppendUint32(nil, uint32(int32(n))))
	return w
}
func (w *writer) ints(n []int) *writer {
	w.op("(")
	for _, v := range n {
		w.int(v)
	}
	return w.op("t")
}

// put writes a tensor: a view of a storage.
func (w *writer) tensor(class, key string, numel, offset int, shape, stride []int, parameter bool) *writer {
	if parameter {
		w.op("ctorch._utils\n_rebuild_parameter\n(")
	}
	w.op("ctorch._utils\n_rebuild_tensor_v2\n((").text("storage").op("ctorch\n" + class + "\n").text(key).text("cpu").int(numel).op("tQ").int(offset).ints(shape).ints(stride).op("\x89ccollections\nOrderedDict\n)RtR")
	if parameter {
		w.op("\x88ccollections\nOrderedDict\n)RtR")
	}
	return w
}

func floats(n int) []byte {
	var out []byte
	for i := range n {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(i)))
	}
	return out
}

// model is a state_dict: a matrix, its transpose in the same storage, a view of its second row as a
// parameter, a scalar of bfloat16, an empty tensor, and one in a nested dict.
func model() []byte {
	w := &writer{}
	w.op("\x80\x02ccollections\nOrderedDict\n)Rq\x00(")
	w.text("a.weight").tensor("FloatStorage", "0", 6, 0, []int{2, 3}, []int{3, 1}, false)
	w.text("a.transposed").tensor("FloatStorage", "0", 6, 0, []int{3, 2}, []int{1, 3}, false)
	w.text("a.row").tensor("FloatStorage", "0", 6, 3, []int{3}, []int{1}, true)
	w.text("scale").tensor("BFloat16Storage", "1", 1, 0, nil, nil, false)
	w.text("none").tensor("LongStorage", "2", 0, 0, []int{0, 4}, []int{4, 1}, false)
	w.text("nested").op("}(").text("spread").tensor("LongStorage", "3", 2, 1, []int{3}, []int{0}, false).int(7).op("](").tensor("BoolStorage", "4", 2, 0, []int{2}, []int{1}, false).op("eu")
	return w.op("u}").text("_metadata").op("}sb.").Bytes()
}

var contents = map[string][]byte{"0": floats(6), "1": {0x80, 0x3f}, "2": {}, "3": binary.LittleEndian.AppendUint64(make([]byte, 8), 9), "4": {1, 0}}

// archive packs a pickle and storages as torch.save does.
func archive(t testing.TB, pickle []byte, storages map[string][]byte, more ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	add := func(name string, data []byte, method uint16) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("archive/data.pkl", pickle, zip.Store)
	for i := 0; i < len(more); i += 2 {
		add(more[i], []byte(more[i+1]), zip.Store)
	}
	for _, key := range []string{"0", "1", "2", "3", "4"} {
		if data, ok := storages[key]; ok {
			add("archive/data/"+key, data, zip.Store)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// legacy writes a file as torch.save did before.
func legacy(pickle []byte) []byte {
	w := &writer{}
	w.op("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.").op("\x80\x02M\xe9\x03.").op("\x80\x02}(").text("little_endian").op("\x88u.")
	w.Write(pickle)
	w.op("\x80\x02](")
	keys := []string{"0", "1", "2", "3", "4"}
	for _, key := range keys {
		w.text(key)
	}
	w.op("e.")
	for i, key := range keys {
		w.Write(binary.LittleEndian.AppendUint64(nil, []uint64{6, 1, 0, 2, 2}[i]))
		w.Write(contents[key])
	}
	return w.Bytes()
}

// numpy is a dict of arrays as NumPy pickles them, one with its columns first.
func numpy() []byte {
	array := func(w *writer, shape []int, columns string, data []byte) {
		w.op("cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(K\x00tC\x01b\x87R(K\x01").ints(shape).op("cnumpy\ndtype\n").text("f4").op("\x89\x88\x87R(K\x03").text("<").op("NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" + columns)
		w.op("B")
		w.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(data))))
		w.Write(data)
		w.op("tb")
	}
	w := &writer{}
	w.op("\x80\x03}(").text("rows")
	array(w, []int{2, 3}, "\x89", floats(6))
	w.text("columns")
	array(w, []int{3, 2}, "\x88", floats(6))
	w.text("long")
	array(w, []int{5000}, "\x89", floats(5000))
	return w.op("u.").Bytes()
}

// decoded is a safetensors file, read by the rules of its specification.
func decoded(t *testing.T, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	var head map[string]entry
	if err := json.Unmarshal(data[8:8+n], &head); err != nil {
		t.Fatal(err)
	}
	out, body := map[string]string{}, data[8+n:]
	covered := int64(0)
	for name, e := range head {
		covered += e.Offsets[1] - e.Offsets[0]
		part := body[e.Offsets[0]:e.Offsets[1]]
		text := fmt.Sprintf("%s%v", e.Type, e.Shape)
		for len(part) > 0 && len(part) < 100 {
			switch e.Type {
			case "F32":
				text, part = fmt.Sprint(text, " ", math.Float32frombits(binary.LittleEndian.Uint32(part))), part[4:]
			case "I64":
				text, part = fmt.Sprint(text, " ", int64(binary.LittleEndian.Uint64(part))), part[8:]
			default:
				text, part = fmt.Sprintf("%s %02x", text, part[0]), part[1:]
			}
		}
		out[name] = text
	}
	if n%8 != 0 || covered != int64(len(body)) {
		t.Errorf("a header of %d bytes, and %d of %d bytes in tensors", n, covered, len(body))
	}
	return out
}

func convert(t *testing.T, data []byte) (string, *Summary, error) {
	t.Helper()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "in"), filepath.Join(dir, "out.safetensors")
	if err := os.WriteFile(from, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := File(t.Context(), from, to)
	left, _ := os.ReadDir(dir)
	if err != nil && len(left) != 1 || err == nil && len(left) != 2 {
		t.Errorf("%v is in the folder after %v", left, err)
	}
	return to, s, err
}

var wanted = map[string]string{
	"a.weight": "F32[2 3] 0 1 2 3 4 5", "a.transposed": "F32[3 2] 0 3 1 4 2 5", "a.row": "F32[3] 3 4 5", "scale": "BF16[] 80 3f", "none": "I64[0 4]",
	"nested.spread": "I64[3] 9 9 9", "nested.7.0": "BOOL[2] 01 00",
}

func TestConvert(t *testing.T) {
	for name, c := range map[string]struct {
		data   []byte
		format string
		want   map[string]string
	}{
		"zip":    {archive(t, model(), contents, "archive/version", "3\n", "archive/byteorder", "little"), "PyTorch (zip)", wanted},
		"legacy": {legacy(model()), "PyTorch (legacy)", wanted},
		"numpy":  {numpy(), "pickle", map[string]string{"rows": "F32[2 3] 0 1 2 3 4 5", "columns": "F32[3 2] 0 3 1 4 2 5", "long": "F32[5000]"}},
	} {
		to, s, err := convert(t, c.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := decoded(t, to)
		if len(got) != len(c.want) || s.Tensors != len(c.want) || s.Format != c.format {
			t.Errorf("%s: %v, %+v", name, got, s)
		}
		for k, v := range c.want {
			if got[k] != v {
				t.Errorf("%s: %s is %q, not %q", name, k, got[k], v)
			}
		}
		again, _, err := convert(t, c.data)
		a, _ := os.ReadFile(to)
		if b, _ := os.ReadFile(again); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: converted again it is another file: %v", name, err)
		}
	}
}

// TestLargeTransposed reads elements that lie far apart.
func TestLargeTransposed(t *testing.T) {
	const n = 700
	w := &writer{}
	w.op("\x80\x02}").text("t").tensor("FloatStorage", "0", n*n, 0, []int{n, n}, []int{1, n}, false).op("s.")
	to, _, err := convert(t, archive(t, w.Bytes(), map[string][]byte{"0": floats(n * n)}))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	body := data[len(data)-4*n*n:]
	for i := range n {
		for j := range n {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(body[4*(i*n+j):])); got != float32(j*n+i) {
				t.Fatalf("element %d, %d is %v", i, j, got)
			}
		}
	}
}

// TestRefused: what is no tensor is named with its place, and nothing is written.
func TestRefused(t *testing.T) {
	one := func(body func(w *writer)) []byte {
		w := &writer{}
		w.op("\x80\x02}").text("x")
		body(w)
		return w.op("s.").Bytes()
	}
	plain := func(class string, numel, offset int, shape, stride []int) []byte {
		return archive(t, one(func(w *writer) { w.tensor(class, "0", numel, offset, shape, stride, false) }), contents)
	}
	good := archive(t, model(), contents)
	broken := bytes.Replace(good, floats(6), append([]byte{9}, floats(6)[1:]...), 1)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"call":            {[]byte("\x80\x02cos\nsystem\nX\x02\x00\x00\x00hi\x85R."), `at byte 21 (opcode 'R'): it calls os.system, which makes no tensor`},
		"call in archive": {archive(t, []byte("\x80\x02cos\nsystem\nX\x02\x00\x00\x00hi\x85R."), contents), `archive/data.pkl, at byte 21 (opcode 'R'): it calls os.system`},
		"object":          {[]byte("\x80\x02cmy.code\nNet\n)\x81."), `it calls my.code.Net`},
		"state":           {[]byte("\x80\x02cmy.code\nNet\n}b."), `sets the state of the object my.code.Net`},
		"INST":            {[]byte("(S'id'\nios\nsystem\n."), `is no opcode that a file of tensors needs`},
		"number":          {one(func(w *writer) { w.int(3) }), `"x" is the number 3, and no tensor`},
		"text":            {one(func(w *writer) { w.text("words") }), `"x" is the text "words"`},
		"global":          {one(func(w *writer) { w.op("cos\nsystem\n") }), `"x" is the object os.system`},
		"beyond":          {plain("FloatStorage", 6, 0, []int{7}, []int{1}), `reaches beyond its storage "0", which has 6 elements`},
		"far beyond":      {plain("FloatStorage", 6, 0, []int{1 << 30, 1 << 30}, []int{1 << 30, 1 << 30}), `reaches beyond its storage`},
		"negative":        {plain("FloatStorage", 6, 0, []int{2}, []int{-1}), `negative size or stride`},
		"longer storage":  {plain("FloatStorage", 7, 0, []int{7}, []int{1}), `archive/data/0 has 24 bytes, and its tensors need 28`},
		"repeated memory": {plain("FloatStorage", 6, 0, []int{1 << 30}, []int{0}), `repeat the same memory`},
		"complex":         {plain("ComplexDoubleStorage", 1, 0, nil, nil), `which safetensors does not have`},
		"no storage":      {archive(t, model(), map[string][]byte{"0": contents["0"]}), `the archive has no entry archive/data/1`},
		"wrong checksum":  {broken, `archive/data/0: zip: checksum error`},
		"big-endian":      {archive(t, model(), contents, "archive/byteorder", "big"), `"big"-endian`},
		"program":         {archive(t, model(), contents, "archive/code/model.py", "import os"), `TorchScript program`},
		"twice":           {archive(t, model(), contents, "archive/data/0", "x"), `has the entry "archive/data/0" twice`},
		"cut legacy":      {legacy(model())[:len(legacy(model()))-1], `is not as long as it should be`},
		"longer legacy":   {append(legacy(model()), 1), `1 bytes follow the last storage`},
		"two names":       {[]byte("\x80\x02}(X\x01\x00\x00\x00a" + array1 + "X\x01\x00\x00\x00a" + array1 + "u."), `two tensors would be called "a"`},
		"metadata":        {[]byte("\x80\x02}(X\x0c\x00\x00\x00__metadata__" + array1 + "u."), `"__metadata__"`},
		"nothing":         {[]byte("\x80\x02}."), `no tensor in it`},
		"empty":           {nil, `ends before its STOP`},
		"cut":             {model()[:40], `ends before its STOP`},
		"outside":         {model(), `storages that are not in it`},
		"more behind":     {[]byte("\x80\x02}.cos\nsystem\n"), `at byte 4: 11 bytes follow`},
		"another archive": {func() []byte {
			b := &bytes.Buffer{}
			z := zip.NewWriter(b)
			_, _ = z.Create("x")
			_ = z.Close()
			return b.Bytes()
		}(), `has no data.pkl`},
		"lists within":     {slices.Concat([]byte("\x80\x02"), bytes.Repeat([]byte("]"), 100), bytes.Repeat([]byte("a"), 99), []byte(".")), `within each other`},
		"lists of itself":  {[]byte("\x80\x02]q\x00h\x00a."), `within each other`},
		"a thousand times": {[]byte("\x80\x02]q\x00" + strings.Repeat("(h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00lq\x00", 40) + "."), `more objects`},
		"array of objects": {[]byte("\x80\x03cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R."), `of the type "O8"`},
		"huge text":        {[]byte("\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"), `ends before its STOP`},
	} {
		_, _, err := convert(t, c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// array1 is an array of one byte.
const array1 = "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(K\x00tC\x01b\x87R(K\x01(K\x01tcnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R(K\x03X\x01\x00\x00\x00|tb\x89C\x01\x07tb"

func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "in")
	if err := os.WriteFile(from, numpy(), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := File(ctx, from, filepath.Join(dir, "out")); err == nil {
		t.Error("it was not interrupted")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range [][]byte{archive(f, model(), contents), legacy(model()), numpy(), model(), []byte("\x80\x02cos\nsystem\nX\x02\x00\x00\x00hi\x85R.")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, _, err := read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		size := int64(0)
		for _, n := range all {
			if size += n.numel() * n.element.size; size > 1<<20 {
				return
			}
		}
		var out bytes.Buffer
		if err := write(context.Background(), &out, all); err != nil {
			t.Skip(err)
		}
		if head := binary.LittleEndian.Uint64(out.Bytes()); int64(out.Len()) != 8+int64(head)+size {
			t.Errorf("%d bytes were written for %d", out.Len(), size)
		}
	})
}
