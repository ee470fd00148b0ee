package convert

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
)

// element is a type of elements: its name in safetensors and its bytes.
type element struct {
	name string
	size int64
}

// storages are the elements of PyTorch's classes of storages; dtypes those of its dtypes.
var (
	storages = map[string]element{
		"DoubleStorage": {"F64", 8}, "FloatStorage": {"F32", 4}, "HalfStorage": {"F16", 2}, "BFloat16Storage": {"BF16", 2}, "LongStorage": {"I64", 8}, "IntStorage": {"I32", 4},
		"ShortStorage": {"I16", 2}, "CharStorage": {"I8", 1}, "ByteStorage": {"U8", 1}, "BoolStorage": {"BOOL", 1}, "ComplexFloatStorage": {"C64", 8}, "UntypedStorage": {"", 1},
	}
	dtypes = map[string]element{
		"float64": {"F64", 8}, "float32": {"F32", 4}, "float16": {"F16", 2}, "bfloat16": {"BF16", 2}, "int64": {"I64", 8}, "int32": {"I32", 4}, "int16": {"I16", 2}, "int8": {"I8", 1}, "uint8": {"U8", 1},
		"uint16": {"U16", 2}, "uint32": {"U32", 4}, "uint64": {"U64", 8}, "bool": {"BOOL", 1}, "float8_e4m3fn": {"F8_E4M3", 1}, "float8_e5m2": {"F8_E5M2", 1}, "complex64": {"C64", 8},
	}
	numpyTypes = map[string]element{
		"f8": {"F64", 8}, "f4": {"F32", 4}, "f2": {"F16", 2}, "i8": {"I64", 8}, "i4": {"I32", 4}, "i2": {"I16", 2}, "i1": {"I8", 1}, "u8": {"U64", 8}, "u4": {"U32", 4}, "u2": {"U16", 2}, "u1": {"U8", 1}, "b1": {"BOOL", 1}, "c8": {"C64", 8},
	}
)

// storage is memory that tensors are views of.
type storage struct {
	key     string
	element element
	numel   int64
	data    content // once it is known where it is
}

// tensor is a view of a storage.
type tensor struct {
	storage       *storage
	element       element
	offset        int64 // in elements, as strides
	shape, stride []int64
}

// array is one of NumPy's that waits for its state; dtype is the type of one.
type (
	array struct{ *tensor }
	dtype struct {
		element element
		order   string
	}
)

// numel is how many elements a tensor has.
func (t *tensor) numel() int64 {
	n := int64(1)
	for _, d := range t.shape {
		n *= d
	}
	return n
}

// check reports a tensor that is not within its storage.
func (t *tensor) check() error {
	if len(t.shape) != len(t.stride) || len(t.shape) > 64 || t.offset < 0 {
		return errors.New("a tensor's shape and strides do not fit together")
	}
	n, last, empty := uint64(1), uint64(t.offset), false
	for i, d := range t.shape {
		if d < 0 || t.stride[i] < 0 {
			return errors.New("a tensor has a negative size or stride")
		}
		empty = empty || d == 0
		var over uint64
		if over, n = bits.Mul64(n, uint64(max(d, 1))); over != 0 || n > 1<<56 {
			return errors.New("a tensor has more elements than any file could hold")
		}
		over, step := bits.Mul64(uint64(max(d, 1)-1), uint64(t.stride[i]))
		if last += step; over != 0 || last > 1<<56 || step > 1<<56 {
			return errors.New("a tensor reaches beyond its storage")
		}
	}
	if !empty && last >= uint64(t.storage.numel*t.storage.element.size/t.element.size) {
		return fmt.Errorf("a tensor reaches beyond its storage %q, which has %d elements", t.storage.key, t.storage.numel)
	}
	return nil
}

// write writes the elements in the order of rows.
func (t *tensor) write(w io.Writer) error {
	if t.numel() == 0 {
		return nil
	}
	size := t.element.size
	at := io.NewSectionReader(t.storage.data.at, t.storage.data.offset, t.storage.data.size)
	shape, stride := t.shape, t.stride
	run := int64(1) // of elements in a row
	for len(shape) > 0 && (stride[len(stride)-1] == run || shape[len(shape)-1] == 1) {
		run *= shape[len(shape)-1]
		shape, stride = shape[:len(shape)-1], stride[:len(stride)-1]
	}
	if len(shape) == 0 {
		n, err := io.Copy(w, io.NewSectionReader(at, t.offset*size, run*size))
		if err == nil && n != run*size {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	pages := &pages{at: at}
	index := make([]int64, len(shape))
	for {
		from := t.offset
		for i, v := range index {
			from += v * stride[i]
		}
		if err := pages.copy(w, from*size, run*size); err != nil {
			return err
		}
		i := len(index) - 1
		for ; i >= 0; i-- {
			if index[i]++; index[i] < shape[i] {
				break
			}
			index[i] = 0
		}
		if i < 0 {
			return nil
		}
	}
}

// pages keeps some parts of a file, so that elements that lie apart cost no read each.
type pages struct {
	at    io.ReaderAt
	kept  map[int64][]byte
	order []int64
}

const (
	pageBytes = 256 << 10
	pageCount = 256
)

func (p *pages) copy(w io.Writer, from, size int64) error {
	for size > 0 {
		page, err := p.page(from / pageBytes)
		if err != nil {
			return err
		}
		in := from % pageBytes
		if in >= int64(len(page)) {
			return io.ErrUnexpectedEOF
		}
		part := page[in:min(int64(len(page)), in+size)]
		if _, err := w.Write(part); err != nil {
			return err
		}
		from, size = from+int64(len(part)), size-int64(len(part))
	}
	return nil
}

func (p *pages) page(i int64) ([]byte, error) {
	if b, ok := p.kept[i]; ok {
		return b, nil
	}
	b := make([]byte, pageBytes)
	n, err := p.at.ReadAt(b, i*pageBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if p.kept == nil {
		p.kept = map[int64][]byte{}
	}
	if len(p.order) == pageCount {
		delete(p.kept, p.order[0])
		p.order = p.order[1:]
	}
	p.kept[i], p.order = b[:n], append(p.order, i)
	return b[:n], nil
}

// torch gives meaning to PyTorch's and NumPy's pickles: what makes tensors, and nothing else.
type torch struct {
	storages map[string]*storage
	order    []*storage
}

func (l *torch) persistent(id any) (any, error) {
	parts, ok := id.(tuple)
	if !ok || len(parts) < 5 || parts[0] != "storage" {
		return nil, fmt.Errorf("it refers to something outside that is no storage of a tensor: %s", describe(id))
	}
	class, ok1 := parts[1].(global)
	key, ok2 := parts[2].(string)
	numel, ok3 := parts[4].(int64)
	if !ok1 || !ok2 || !ok3 || numel < 0 || numel > 1<<56 {
		return nil, errors.New("it refers to a storage in a form that PyTorch does not write")
	}
	if len(parts) > 5 && parts[5] != nil {
		return nil, errors.New("it refers to a part of a storage, as PyTorch did before version 0.4: save it again with a later one")
	}
	name := string(class)[strings.LastIndexByte(string(class), '.')+1:]
	e, ok := storages[name]
	if !ok || !strings.HasPrefix(string(class), "torch.") {
		return nil, fmt.Errorf("its storage %q is of the type %s, which safetensors does not have", key, class)
	}
	s := l.storages[key]
	if s == nil {
		s = &storage{key: key, element: e, numel: numel}
		l.storages[key] = s
		l.order = append(l.order, s)
	}
	if s.element != e || s.numel != numel {
		return nil, fmt.Errorf("its storage %q is described in two ways", key)
	}
	return s, nil
}

func numbers(v any) ([]int64, bool) {
	items, ok := v.(tuple)
	out := make([]int64, len(items))
	for i, item := range items {
		if out[i], ok = item.(int64); !ok {
			return nil, false
		}
	}
	return out, ok
}

func (l *torch) call(name global, args tuple) (any, error) {
	switch {
	case name == "collections.OrderedDict" && len(args) == 0:
		return &dict{}, nil
	case (name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_tensor" || name == "torch._utils._rebuild_tensor_v3") && len(args) >= 4:
		return rebuild(name, args)
	case (name == "torch._utils._rebuild_parameter" || name == "torch._utils._rebuild_parameter_with_state") && len(args) >= 1:
		if t, ok := args[0].(*tensor); ok {
			return t, nil
		}
	case name == "torch.Size" && len(args) == 1:
		if size, ok := args[0].(tuple); ok {
			return size, nil
		}
	case name == "numpy.core.multiarray._reconstruct" || name == "numpy._core.multiarray._reconstruct":
		if len(args) == 3 && args[0] == global("numpy.ndarray") {
			return &array{&tensor{}}, nil
		}
	case name == "numpy.dtype" && len(args) >= 1:
		if code, ok := args[0].(string); ok {
			if e, ok := numpyTypes[code]; ok {
				return &dtype{element: e}, nil
			}
			return nil, fmt.Errorf("it holds an array of the type %q, which safetensors does not have", code)
		}
	case name == "_codecs.encode" && len(args) == 2 && args[1] == "latin1":
		if text, ok := args[0].(string); ok {
			return latin1(text)
		}
	}
	return nil, fmt.Errorf("it calls %s, which makes no tensor", name)
}

// latin1 gives the bytes that Python 3 writes as a text in protocols before 3.
func latin1(text string) (any, error) {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 255 {
			return nil, errors.New("a text that stands for bytes has other characters")
		}
		out = append(out, byte(r))
	}
	return content{strings.NewReader(string(out)), 0, int64(len(out))}, nil
}

func rebuild(name global, args tuple) (any, error) {
	s, ok1 := args[0].(*storage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := numbers(args[2])
	stride, ok4 := numbers(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, errors.New("it describes a tensor in a form that PyTorch does not write")
	}
	t := &tensor{storage: s, element: s.element, offset: offset, shape: shape, stride: stride}
	if name == "torch._utils._rebuild_tensor_v3" && len(args) >= 7 {
		kind, _ := args[6].(global)
		e, ok := dtypes[strings.TrimPrefix(string(kind), "torch.")]
		if !ok {
			return nil, fmt.Errorf("it holds a tensor of the type %s, which safetensors does not have", kind)
		}
		t.element = e
	}
	if t.element.name == "" {
		return nil, errors.New("it holds a tensor that does not say its type")
	}
	return t, t.check()
}

func (l *torch) state(of, state any) (any, error) {
	switch of := of.(type) {
	case *dict: // attributes of an OrderedDict, such as _metadata, are no tensors and no part of the weights
		return of, nil
	case *dtype:
		if parts, ok := state.(tuple); ok && len(parts) >= 2 {
			order, ok := parts[1].(string)
			if ok && (order == "<" || order == "|" || order == "=") {
				of.order = order
				return of, nil
			}
		}
		return nil, errors.New("it holds an array in another order of bytes: save it again on a machine that is little-endian")
	case *array:
		return of.set(state)
	}
	return nil, fmt.Errorf("it sets the state of %s", describe(of))
}

// set makes an array of its state: version, shape, type, whether columns come first, content.
func (a *array) set(state any) (any, error) {
	parts, ok := state.(tuple)
	if !ok || len(parts) != 5 {
		return nil, errors.New("it describes an array in a form that NumPy does not write")
	}
	shape, ok1 := numbers(parts[1])
	d, ok2 := parts[2].(*dtype)
	columns, ok3 := parts[3].(bool)
	data, ok4 := parts[4].(content)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, errors.New("it describes an array in a form that NumPy does not write: one of objects, perhaps")
	}
	t := &tensor{element: d.element, shape: shape, stride: make([]int64, len(shape)), storage: &storage{element: d.element, numel: data.size / d.element.size, data: data}}
	step := int64(1)
	for i := range shape {
		at := len(shape) - 1 - i
		if columns {
			at = i
		}
		t.stride[at] = step
		if step *= max(shape[at], 1); step > 1<<56 || shape[at] < 0 {
			return nil, errors.New("an array has more elements than any file could hold")
		}
	}
	*a.tensor = *t
	return a, t.check()
}
