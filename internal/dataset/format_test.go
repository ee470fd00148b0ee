package dataset

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files in testdata were written by numpy 1.24.

func TestNumPyFiles(t *testing.T) {
	for _, c := range []struct {
		file    string
		options Options
		shape   []int
		x       []float32
		classes []string
		y       []int32
	}{
		{"half.npy", Options{}, []int{2}, []float32{0.5, -2, 65504, 5.9604645e-08, 1, 0.099975586}, []string{"0", "1"}, []int32{0, 1, 0}},
		{"bigendian.npy", Options{Unlabelled: true}, []int{3}, []float32{1, -2, 300, 70000, 5, -6}, nil, nil},
		{"fortran.npz", Options{}, []int{3, 4}, count(24), []string{"cat", "dög"}, []int32{0, 1}},
		{"nhwc.npz", Options{}, []int{3, 2, 5}, []float32{
			0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29,
			30, 33, 36, 39, 42, 45, 48, 51, 54, 57, 31, 34, 37, 40, 43, 46, 49, 52, 55, 58, 32, 35, 38, 41, 44, 47, 50, 53, 56, 59,
		}, []string{"3", "7"}, []int32{1, 0}},
	} {
		t.Run(c.file, func(t *testing.T) {
			d := load(t, filepath.Join("testdata", c.file), c.options)
			if !slices.Equal(d.Schema.RecordShape(), c.shape) || !slices.Equal(d.X, c.x) {
				t.Errorf("shape %v, values %v", d.Schema.RecordShape(), d.X)
			}
			if !slices.Equal(d.Schema.Label.Classes, c.classes) || !slices.Equal(d.Y, c.y) {
				t.Errorf("classes %q, labels %v", d.Schema.Label.Classes, d.Y)
			}
		})
	}
	_, err := Load(t.Context(), "testdata/objects.npy", Options{})
	fails(t, err, "Python objects", "refused")
}

func count(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i)
	}
	return x
}

// npy writes an array as numpy does, of any header.
func npy(header string, data []byte) []byte {
	out := append([]byte(npyMagic), 1, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(header)))
	return append(append(out, header...), data...)
}

func npyHeader(descr, shape string) string {
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", descr, shape)
}

func TestNPYElementTypes(t *testing.T) {
	for descr, bytes := range map[string]string{
		"|b1": "\x01", "|i1": "\x01", "|u1": "\x01",
		"<i2": "\x01\x00", ">i2": "\x00\x01", "<u2": "\x01\x00", ">u2": "\x00\x01",
		"<i4": "\x01\x00\x00\x00", ">i4": "\x00\x00\x00\x01", "<u4": "\x01\x00\x00\x00", ">u4": "\x00\x00\x00\x01",
		"<i8": "\x01\x00\x00\x00\x00\x00\x00\x00", ">i8": "\x00\x00\x00\x00\x00\x00\x00\x01",
		"<u8": "\x01\x00\x00\x00\x00\x00\x00\x00", ">u8": "\x00\x00\x00\x00\x00\x00\x00\x01",
		"<f2": "\x00\x3c", ">f2": "\x3c\x00", "<f4": "\x00\x00\x80\x3f", ">f4": "\x3f\x80\x00\x00",
		"<f8": "\x00\x00\x00\x00\x00\x00\xf0\x3f", ">f8": "\x3f\xf0\x00\x00\x00\x00\x00\x00",
	} {
		t.Run(descr, func(t *testing.T) {
			d := load(t, write(t, "a.npy", npy(npyHeader(descr, "1, 1"), []byte(bytes))), Options{Unlabelled: true})
			if !slices.Equal(d.X, []float32{1}) {
				t.Errorf("got %v, want 1", d.X)
			}
		})
	}
}

// One number that is none makes no text of its column: it is a bad record with its place.
func TestNPYWithoutANumber(t *testing.T) {
	data := []byte("\x00\x00\x80\x3f\x00\x00\xc0\x7f\x00\x00\x00\x40") // 1, NaN, 2
	path := write(t, "a.npy", npy(npyHeader("<f4", "3, 1"), data))
	_, err := Load(t.Context(), path, Options{Unlabelled: true})
	fails(t, err, "record 2", "is not a finite number")
	d := load(t, path, Options{Unlabelled: true, BadRecords: 1})
	if !slices.Equal(d.X, []float32{1, 2}) || d.Schema.Width() != 1 {
		t.Errorf("without it there are %v", d.X)
	}
}

// idx writes an IDX file of bytes.
func idx(data []byte, shape ...uint32) []byte {
	out := []byte{0, 0, 8, byte(len(shape))}
	for _, d := range shape {
		out = binary.BigEndian.AppendUint32(out, d)
	}
	return append(out, data...)
}

func TestIDXWithLabels(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"few-images-idx3-ubyte":    idx([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 2, 2, 2),
		"few-labels-idx1-ubyte.gz": compressed(t, idx([]byte{9, 4}, 2)),
		"lone.idx":                 idx([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 2, 2, 2),
		"three.idx":                idx([]byte{1, 2, 3}, 3),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	labels := filepath.Join(dir, "few-labels-idx1-ubyte.gz")
	for _, c := range []struct {
		name    string
		options Options
	}{
		{"few-images-idx3-ubyte", Options{}},
		{"lone.idx", Options{LabelFile: labels}},
	} {
		d := load(t, filepath.Join(dir, c.name), c.options)
		if !slices.Equal(d.Schema.RecordShape(), []int{1, 2, 2}) || !slices.Equal(d.Y, []int32{1, 0}) || !slices.Equal(d.Schema.Label.Classes, []string{"4", "9"}) {
			t.Errorf("shape %v, labels %v of %v", d.Schema.RecordShape(), d.Y, d.Schema.Label.Classes)
		}
		if f := d.Schema.Features[0]; f.Type != Integer || *f.Min != 0 || *f.Max != 255 {
			t.Errorf("a pixel is %+v", f)
		}
	}
	_, err := Load(t.Context(), filepath.Join(dir, "lone.idx"), Options{})
	fails(t, err, "no labels beside")
	_, err = Load(t.Context(), filepath.Join(dir, "lone.idx"), Options{LabelFile: filepath.Join(dir, "three.idx")})
	fails(t, err, "2 records", "3 labels")
	_, err = Load(t.Context(), labels, Options{})
	fails(t, err, "holds labels")
}

// picture writes a PNG of one colour.
func picture(t testing.TB, width, height int, c color.Color) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func photo(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImageFolder(t *testing.T) {
	dir := t.TempDir()
	outside := write(t, "outside.png", picture(t, 2, 1, color.White))
	for name, data := range map[string][]byte{
		"cat/1.png":      picture(t, 2, 1, color.RGBA{10, 20, 30, 255}),
		"cat/2.jpg":      photo(t, image.NewGray(image.Rect(0, 0, 2, 1))),
		"dog/1.png":      picture(t, 2, 1, color.NRGBA{200, 100, 50, 255}),
		"dog/big.png":    picture(t, 3, 1, color.White),
		"dog/notes.txt":  []byte("not an image"),
		"dog/cut.png":    picture(t, 2, 1, color.White)[:45],
		"dog/.DS_Store":  []byte("hidden"),
		"empty/.keep":    nil,
		"readme.txt":     []byte("beside the classes"),
		"dog/sub/no.png": nil,
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "dog", "link.png")); err != nil {
		t.Skip("links cannot be made here")
	}
	d := load(t, dir, Options{BadRecords: 4})
	if !slices.Equal(d.Schema.RecordShape(), []int{3, 1, 2}) || !slices.Equal(d.Schema.Label.Classes, []string{"cat", "dog"}) {
		t.Fatalf("shape %v, classes %v", d.Schema.RecordShape(), d.Schema.Label.Classes)
	}
	want := []float32{10, 10, 20, 20, 30, 30, 0, 0, 0, 0, 0, 0, 200, 200, 100, 100, 50, 50}
	if !slices.Equal(d.X, want) || !slices.Equal(d.Y, []int32{0, 0, 1}) {
		t.Errorf("values %v, labels %v", d.X, d.Y)
	}
	problems := map[string]string{"big.png": "3×1 pixels", "cut.png": "cannot be decoded", "link.png": "escapes", "notes.txt": "neither a PNG nor a JPEG"}
	for _, e := range d.Bad {
		if want := problems[filepath.Base(e.File)]; want == "" || !strings.Contains(e.Problem, want) {
			t.Errorf("unexpected: %v", e)
		}
	}
	s, err := Open(t.Context(), dir, Options{BadRecords: 4})
	if err != nil {
		t.Fatal(err)
	}
	if files, err := s.format.files(); err != nil || len(files) != 7 {
		t.Errorf("files %v (%v)", files, err)
	}
	_, err = Load(t.Context(), t.TempDir(), Options{})
	fails(t, err, "without class folders")
}

func TestGreyImages(t *testing.T) {
	img := image.NewGray16(image.Rect(0, 0, 2, 2))
	img.SetGray16(1, 0, color.Gray16{0x8000})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	path := write(t, "data/a/1.png", b.Bytes())
	dir := filepath.Dir(filepath.Dir(path))
	d := load(t, dir, Options{})
	if !slices.Equal(d.Schema.RecordShape(), []int{1, 2, 2}) || !slices.Equal(d.X, []float32{0, 128, 0, 0}) {
		t.Errorf("shape %v, values %v", d.Schema.RecordShape(), d.X)
	}
	d = load(t, dir, Options{Schema: &Schema{Shape: []int{3, 2, 2}}})
	if !slices.Equal(d.X, []float32{0, 128, 0, 0, 0, 128, 0, 0, 0, 128, 0, 0}) {
		t.Errorf("in colour: %v", d.X)
	}
}

// A header that claims 2^31 pixels a side, or a size unlike the schema's, is refused before anything is decoded.
func TestHostileImage(t *testing.T) {
	data := picture(t, 2, 2, color.White)
	binary.BigEndian.PutUint32(data[16:], 1<<31-1)
	binary.BigEndian.PutUint32(data[20:], 1<<31-1)
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	dir := filepath.Dir(filepath.Dir(write(t, "data/a/1.png", data)))
	_, err := Load(t.Context(), dir, Options{})
	fails(t, err, "no file is a readable image", "1.png")
	_, err = Load(t.Context(), dir, Options{Schema: &Schema{Shape: []int{3, 2, 2}}})
	fails(t, err, "1.png", "record 1")
}

// member is a file of a zip.
type member struct {
	name string
	data []byte
}

func zipped(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		w, err := z.Create(m.name)
		if err == nil {
			_, err = w.Write(m.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHostileArrays(t *testing.T) {
	labels := npy(npyHeader("<i8", "2,"), make([]byte, 16))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"npy of 2^40 elements":     {npy(npyHeader("<f4", "1099511627776, 4"), nil), "more than the file holds"},
		"npy of huge records":      {npy(npyHeader("<f4", "1, 1099511627776"), nil), "too large"},
		"npy that overflows":       {npy(npyHeader("<f8", "9223372036854775807, 67108864"), nil), "more than the file holds"},
		"npy of a huge dimension":  {npy(npyHeader("<f8", "99999999999999999999"), nil), "dimension"},
		"npy cut short":            {npy(npyHeader("<f4", "2, 3"), make([]byte, 20)), "more than the file holds"},
		"npy without records":      {npy(npyHeader("<f4", "0, 3"), nil), "no records"},
		"npy with an empty shape":  {npy(npyHeader("<f4", "3, 0"), nil), "too large"},
		"npy of one value":         {npy(npyHeader("<f4", ""), make([]byte, 4)), "single value"},
		"npy of complex numbers":   {npy(npyHeader("<c8", "1, 1"), make([]byte, 8)), `"<c8"`},
		"npy of structures":        {npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", nil), "structured"},
		"npy of code":              {npy("__import__('os').system('true')", nil), "cannot be read"},
		"npy with a long header":   {[]byte(npyMagic + "\x02\x00\xff\xff\xff\xff"), "claims a header"},
		"npy of version 9":         {[]byte(npyMagic + "\x09\x00\x00\x00"), "version 9"},
		"npy in its header":        {[]byte(npyMagic + "\x01\x00\xff"), "cut short"},
		"idx of 2^93 elements":     {idx(nil, 1<<31, 1<<31, 1<<31), "too large"},
		"idx cut short":            {idx([]byte{1, 2}, 2, 2, 2), "more than the file holds"},
		"gzip of a huge idx":       {compressed(t, idx(nil, 1<<31, 28, 28)), "more than the file holds"},
		"gzip of a cut idx":        {compressed(t, idx([]byte{1}, 2, 2, 2)), "ends in record 1"},
		"gzip cut short":           {compressed(t, []byte(people))[:30], "unexpected EOF"},
		"npz of 2^40 elements":     {zipped(t, member{"x.npy", npy(npyHeader("<f4", "1099511627776, 4"), nil)}), "more than the file holds"},
		"npz of objects":           {zipped(t, member{"x.npy", npy(npyHeader("|O", "2"), nil)}), "Python objects"},
		"npz of something else":    {zipped(t, member{"x.txt", []byte("text")}), "is not an NPY file"},
		"npz of nothing":           {zipped(t, member{"x/", nil}), "no array"},
		"npz of differing lengths": {zipped(t, member{"x.npy", npy(npyHeader("|u1", "3, 1"), make([]byte, 3))}, member{"y.npy", labels}), "no array of features"},
		"npz that is ambiguous":    {zipped(t, member{"a.npy", labels}, member{"b.npy", labels}, member{"c.npy", labels}), "cannot tell"},
		"npz cut short":            {zipped(t, member{"x.npy", labels})[:60], "not a readable NPZ"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(t.Context(), write(t, "data", c.data), Options{Unlabelled: !strings.Contains(name, "npz")})
			fails(t, err, c.want)
		})
	}
}

// A zip bomb: a member of zeros, a thousand times larger than the file. It is read
// within the limit, or not at all.
func TestZipBomb(t *testing.T) {
	path := write(t, "bomb.npz", zipped(t, member{"x.npy", npy(npyHeader("|u1", "1024, 256, 256"), make([]byte, 64<<20))}))
	_, err := Load(t.Context(), path, Options{Unlabelled: true, MaxBytes: 1 << 20})
	fails(t, err, "more than the 1048576 bytes allowed")
	s, err := Open(t.Context(), path, Options{Unlabelled: true})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for d, err := range s.Batches(t.Context(), 100) {
		if err != nil {
			t.Fatal(err)
		}
		n += d.Len()
	}
	if n != 1024 {
		t.Errorf("%d records, want 1024", n)
	}
}
