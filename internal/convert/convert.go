// Package convert rewrites the weights in a pickle or PyTorch file as safetensors without
// executing anything: pickles are read by a machine that imports and calls nothing, and knows
// only what makes tensors (PyTorch's torch/_utils.py and torch/serialization.py, NumPy's arrays).
// Whatever else a file holds is an error that says what it is and where. Tensors are copied
// from file to file, so memory does not depend on their size.
package convert

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Summary is what was converted.
type Summary struct {
	Format  string `json:"format"` // of the file that was read
	Tensors int    `json:"tensors"`
	Bytes   int64  `json:"bytes"` // of the tensors
}

// Limits beside those of a pickle.
const (
	maxPickle  = 256 << 20 // bytes of the pickle in an archive
	maxTensors = 1 << 20
	maxNames   = 1 << 22 // objects on the way to tensors
	maxDepth   = 64
	maxGrowth  = 16 // tensors may come to so many times the file, beside a gigabyte: those that share memory are written one by one
)

// File converts a file, and writes the output whole or not at all.
func File(ctx context.Context, from, to string) (*Summary, error) {
	f, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", from)
	}
	if err != nil {
		return nil, err
	}
	named, format, err := read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	s := &Summary{Format: format, Tensors: len(named)}
	for _, n := range named {
		s.Bytes += n.numel() * n.element.size
		if s.Bytes > maxGrowth*info.Size()+1<<30 {
			return nil, fmt.Errorf("%s: its tensors come to more than %d times the file: they repeat the same memory", from, maxGrowth)
		}
	}
	return s, writeFile(ctx, to, named)
}

// named is a tensor by its name.
type named struct {
	name string
	*tensor
}

// read finds the tensors in a file and where they are.
func read(f io.ReaderAt, size int64) ([]named, string, error) {
	var head [8]byte
	if _, err := f.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	l := &torch{storages: map[string]*storage{}}
	var value any
	var err error
	format := "pickle"
	switch {
	case bytes.HasPrefix(head[:], []byte("PK\x03\x04")):
		format = "PyTorch (zip)"
		value, err = l.archive(f, size)
	default:
		m := newMachine(f, 0, size, l)
		value, err = m.run()
		if n, ok := value.(*big.Int); ok && err == nil && n.Cmp(legacyMagic) == 0 {
			format = "PyTorch (legacy)"
			value, err = l.legacy(m)
		} else if err == nil && len(l.order) > 0 {
			err = errors.New("it refers to storages that are not in it")
		} else if err == nil && m.at != size && !newline(f, m.at, size) {
			err = fmt.Errorf("at byte %d: %d bytes follow the end of the pickle", m.at, size-m.at)
		}
	}
	if err != nil {
		return nil, format, err
	}
	var fl flattener
	if err := fl.add("", value, 0); err != nil {
		return nil, format, err
	}
	if len(fl.tensors) == 0 {
		return nil, format, errors.New("there is no tensor in it")
	}
	return fl.tensors, format, fl.unique()
}

// newline reports whether all that follows is the end of a line, as editors add it to pickles in text.
func newline(f io.ReaderAt, at, size int64) bool {
	var last [1]byte
	_, err := f.ReadAt(last[:], at)
	return err == nil && size-at == 1 && last[0] == '\n'
}

// archive reads a zip archive as torch.save writes it since version 1.6.
func (l *torch) archive(f io.ReaderAt, size int64) (any, error) {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return nil, fmt.Errorf("the archive cannot be read: %w", err)
	}
	entries := map[string]*zip.File{}
	root := ""
	for _, e := range z.File {
		if entries[e.Name] != nil {
			return nil, fmt.Errorf("the archive has the entry %q twice", e.Name)
		}
		entries[e.Name] = e
		if strings.HasSuffix(e.Name, "/data.pkl") && strings.Count(e.Name, "/") == 1 {
			root = strings.TrimSuffix(e.Name, "data.pkl")
		}
	}
	main := entries[root+"data.pkl"]
	if root == "" || main == nil {
		return nil, errors.New("the archive has no data.pkl in a folder: PyTorch did not write it")
	}
	for name := range entries {
		if strings.HasPrefix(name, root+"code/") {
			return nil, fmt.Errorf("%s: it is a TorchScript program, not weights alone", name)
		}
	}
	if order := entries[root+"byteorder"]; order != nil {
		text, err := readEntry(order, 16)
		if err != nil || string(text) != "little" {
			return nil, fmt.Errorf("%s: its numbers are %q-endian: save it again on a machine that is little-endian", order.Name, text)
		}
	}
	text, err := readEntry(main, maxPickle)
	if err != nil {
		return nil, err
	}
	m := newMachine(bytes.NewReader(text), 0, int64(len(text)), l)
	value, err := m.run()
	if err == nil && m.at != m.end {
		err = fmt.Errorf("at byte %d: bytes follow the end of the pickle", m.at)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, %w", main.Name, err)
	}
	for _, s := range l.order {
		e := entries[root+"data/"+s.key]
		if e == nil {
			return nil, fmt.Errorf("the archive has no entry %sdata/%s, which a tensor is in", root, s.key)
		}
		if s.data, err = stored(f, e); err != nil {
			return nil, err
		}
		if s.data.size < s.numel*s.element.size {
			return nil, fmt.Errorf("%s has %d bytes, and its tensors need %d", e.Name, s.data.size, s.numel*s.element.size)
		}
	}
	return value, nil
}

// readEntry reads an entry whole.
func readEntry(e *zip.File, most int64) ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Name, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Name, err)
	}
	return text, nil
}

// stored gives the place of an entry that is not compressed, whose checksum must be right.
func stored(f io.ReaderAt, e *zip.File) (content, error) {
	if e.Method != zip.Store {
		return content{}, fmt.Errorf("%s is compressed, which PyTorch's storages are not: unpack the archive and pack it again without compression", e.Name)
	}
	r, err := e.Open()
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		err = errors.Join(err, r.Close())
	}
	at, failed := e.DataOffset()
	if err = errors.Join(err, failed); err != nil {
		return content{}, fmt.Errorf("%s: %w", e.Name, err)
	}
	return content{f, at, int64(e.UncompressedSize64)}, nil
}

// legacyMagic is what files of torch.save before version 1.6 begin with, as a pickle.
var legacyMagic, _ = new(big.Int).SetString("1950a86a20f9469cfc6c", 16)

const legacyProtocol = 1001

// legacy reads such a file: protocol, system, the object, the keys of the storages, the storages.
func (l *torch) legacy(m *machine) (any, error) {
	protocol, err := m.run()
	if err == nil && protocol != int64(legacyProtocol) {
		err = fmt.Errorf("its protocol is %s, and 1001 is known", describe(protocol))
	}
	if err != nil {
		return nil, err
	}
	system, err := m.run()
	if err != nil {
		return nil, err
	}
	if d, ok := system.(*dict); ok {
		for i, k := range d.keys {
			if k == "little_endian" && d.values[i] != true {
				return nil, errors.New("its numbers are big-endian: save it again on a machine that is little-endian")
			}
		}
	}
	value, err := m.run()
	if err != nil {
		return nil, err
	}
	keys, err := m.run()
	order, ok := keys.(*list)
	if err != nil || !ok {
		return nil, errors.Join(err, errors.New("it does not list its storages"))
	}
	at := m.at
	for _, key := range order.items {
		name, _ := key.(string)
		s := l.storages[name]
		if s == nil {
			return nil, fmt.Errorf("it lists a storage, %s, that no tensor is in", describe(key))
		}
		var count [8]byte
		if _, err := m.source.ReadAt(count[:], at); err != nil {
			return nil, fmt.Errorf("at byte %d: the storage %q is not there", at, name)
		}
		size := s.numel * s.element.size
		if binary.LittleEndian.Uint64(count[:]) != uint64(s.numel) || size > m.end-at-8 {
			return nil, fmt.Errorf("at byte %d: the storage %q is not as long as it should be", at, name)
		}
		s.data = content{m.source, at + 8, size}
		at += 8 + size
	}
	for _, s := range l.order {
		if s.data.at == nil {
			return nil, fmt.Errorf("the storage %q is not there", s.key)
		}
	}
	if at != m.end {
		return nil, fmt.Errorf("at byte %d: %d bytes follow the last storage", at, m.end-at)
	}
	return value, nil
}

// flattener names tensors by the way to them, joined by dots.
type flattener struct {
	tensors []named
	seen    int
}

func (f *flattener) add(name string, v any, depth int) error {
	if f.seen++; f.seen > maxNames || len(f.tensors) > maxTensors || depth > maxDepth {
		return fmt.Errorf("%s: there are more objects, or objects within each other, than weights have", shown(name))
	}
	join := func(part string) string { return strings.TrimPrefix(name+"."+part, ".") }
	switch v := v.(type) {
	case *tensor:
		f.tensors = append(f.tensors, named{cmp.Or(name, "tensor"), v})
		return nil
	case *array:
		return f.add(name, v.tensor, depth+1)
	case *list:
		return f.all(join, v.items, depth)
	case tuple:
		return f.all(join, v, depth)
	case *dict:
		for i, key := range v.keys {
			part, ok := key.(string)
			if n, isInt := key.(int64); isInt {
				part, ok = strconv.FormatInt(n, 10), true
			}
			if !ok {
				return fmt.Errorf("%s: a key is %s, and no text", shown(name), describe(key))
			}
			if err := f.add(join(part), v.values[i], depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s is %s, and no tensor: save the weights alone (state_dict)", shown(name), describe(v))
}

func (f *flattener) all(join func(string) string, items []any, depth int) error {
	for i, v := range items {
		if err := f.add(join(strconv.Itoa(i)), v, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func shown(name string) string {
	if name == "" {
		return "what the file holds"
	}
	return fmt.Sprintf("%.200q", name)
}

// unique sorts the tensors, those of wide elements first, so that all are aligned, and refuses names
// that are there twice.
func (f *flattener) unique() error {
	slices.SortFunc(f.tensors, func(a, b named) int {
		return cmp.Or(cmp.Compare(b.element.size, a.element.size), strings.Compare(a.name, b.name))
	})
	there := map[string]bool{"__metadata__": true}
	for _, n := range f.tensors {
		if there[n.name] {
			return fmt.Errorf("two tensors would be called %q", n.name)
		}
		there[n.name] = true
	}
	return nil
}

// entry describes a tensor in the header of safetensors.
type entry struct {
	Type    string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// header is the header of a file, padded to eight bytes.
func header(all []named) ([]byte, error) {
	entries := map[string]entry{}
	at := int64(0)
	for _, n := range all {
		end := at + n.numel()*n.element.size
		entries[n.name] = entry{n.element.name, append([]int64{}, n.shape...), [2]int64{at, end}}
		at = end
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return nil, err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	const most = 100_000_000 // of safetensors itself
	if len(text) > most {
		return nil, errors.New("there are more tensors than safetensors allows in its header")
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), nil
}

func writeFile(ctx context.Context, path string, all []named) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // the first error counts
			os.Remove(f.Name())
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	if err := write(ctx, f, all); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func write(ctx context.Context, f io.Writer, all []named) error {
	head, err := header(all)
	if err != nil {
		return err
	}
	w := &buffered{ctx: ctx, to: f}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, n := range all {
		if err := n.write(w); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return w.flush()
}

// buffered joins small writes, and ends with its context.
type buffered struct {
	ctx  context.Context
	to   io.Writer
	kept []byte
}

func (b *buffered) Write(p []byte) (int, error) {
	if b.kept = append(b.kept, p...); len(b.kept) < 1<<20 {
		return len(p), nil
	}
	return len(p), b.flush()
}

func (b *buffered) flush() error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	_, err := b.to.Write(b.kept)
	b.kept = b.kept[:0]
	return err
}
