package pickle

import (
	"bytes"
	"errors"
	"strconv"
)

// maxNested is how many streams may be within each other.
const maxNested = 8

// stateArrayWrapper goes over the array that joblib has in the middle of a stream: when its
// unpickler has set the state of a NumpyArrayWrapper, it reads the array's bytes, or another
// stream where the array is of objects, from the file itself (joblib/numpy_pickle.py,
// NumpyArrayWrapper.read_array). Any other unpickler goes on with these bytes as opcodes.
func stateArrayWrapper(j *judge, _, state value) error {
	fields := map[string]value{}
	if state.kind() == dict {
		kept := j.m.heap.kept(state)
		for i := 0; i+1 < len(kept); i += 2 {
			if name, ok := j.in.text(kept[i]); ok {
				fields[name] = kept[i+1]
			}
		}
	}
	size, objects, ok := j.itemSize(fields["dtype"])
	if !ok || fields["shape"].kind() != tuple {
		return fault("the size of an array of joblib's cannot be told")
	}
	if objects {
		return j.inner()
	}
	count := int64(1)
	for _, v := range j.items(fields["shape"]) {
		n, ok := v.int()
		if !ok || n < 0 || n > 0 && count > 1<<46/n {
			return fault("the size of an array of joblib's cannot be told")
		}
		count *= n
	}
	if j.count(fields["shape"]) > mostItems || count > 1<<46/max(size, 1) {
		return fault("the size of an array of joblib's cannot be told")
	}
	j.otherwise()
	if v, ok := fields["numpy_array_alignment_bytes"]; ok && v.kind() != none {
		b, err := j.in.take(1)
		if err != nil {
			return err
		}
		if err := j.in.skip(int64(b[0])); err != nil {
			return err
		}
	}
	return j.in.skip(count * size)
}

// stateDtype keeps the state of a numpy.dtype: what it says of size and objects goes over what the
// dtype was made with (numpy/core/src/multiarray/descriptor.c, arraydescr_setstate).
func stateDtype(j *judge, target, state value) error {
	n := j.m.heap.node(target)
	if n.flags&built != 0 {
		n.flags |= unsafe // which of two states holds is not followed
	}
	j.m.heap.keep(n, []value{state}, 1)
	return nil
}

// maxFields is how deep the fields of a dtype may have fields of their own.
const maxFields = 8

// The places in the state of a numpy.dtype, and the flag that says that elements hold objects.
const (
	dtypeSubarray, dtypeFields, dtypeSize, dtypeFlags = 2, 4, 5, 7
	dtypeLength                                       = 8 // and one more with metadata
	hasObject                                         = 1
)

// itemSize gives the bytes of an element of a numpy.dtype, and whether elements are objects.
func (j *judge) itemSize(dtype value) (size int64, objects, ok bool) { return j.sizeWithin(dtype, 0) }

func (j *judge) sizeWithin(dtype value, depth int) (size int64, objects, ok bool) {
	if dtype.kind() != object || depth > maxFields {
		return 0, false, false
	}
	n := j.m.heap.node(dtype)
	if n.callee.kind() != global || j.imported(n.callee).String() != "numpy.dtype" || n.flags&unsafe != 0 {
		return 0, false, false
	}
	code, _ := j.in.text(j.item(n.args, 0))
	if code == "" {
		return 0, false, false
	}
	size, err := strconv.ParseInt(code[1:], 10, 32)
	plain, sized := false, false // whether the state says the size of elements
	switch code[0] {
	case 'O':
		plain, err = true, nil
	case 'U':
		size *= 4
		sized = true
	case 'S', 'V':
		sized = true
	case 'b', 'i', 'u', 'f', 'c', 'M', 'm':
		plain = true
	}
	if !plain && !sized || err != nil || size < 0 {
		return 0, false, false
	}
	if n.flags&built == 0 {
		return size, code[0] == 'O', true
	}
	state := j.item(dtype, 0)
	if k := j.count(state); state.kind() != tuple || k != dtypeLength && k != dtypeLength+1 {
		return 0, false, false
	}
	flags, known := j.item(state, dtypeFlags).int()
	if known && flags&hasObject != 0 {
		return 0, true, true
	}
	if !known || code[0] == 'O' || j.item(state, dtypeSubarray).kind() != none {
		return 0, false, false
	}
	if sized {
		if size, known = j.item(state, dtypeSize).int(); !known || size < 0 {
			return 0, false, false
		}
	}
	return size, false, j.plainFields(j.item(state, dtypeFields), depth)
}

// plainFields reports whether the fields of a dtype are known, and none holds objects.
func (j *judge) plainFields(fields value, depth int) bool {
	if fields.kind() == none {
		return true
	}
	if fields.kind() != dict {
		return false
	}
	kept := j.m.heap.kept(fields)
	if len(kept) != j.count(fields) {
		return false
	}
	for i := 1; i < len(kept); i += 2 {
		if _, objects, ok := j.sizeWithin(j.item(kept[i], 0), depth+1); objects || !ok {
			return false
		}
	}
	return true
}

// inner interprets another stream from here, and goes on after it.
func (j *judge) inner() error {
	outer := j.m
	if outer.depth >= maxNested {
		return fault("more than %d streams are within each other", maxNested)
	}
	m := newMachine(outer.ctx, j.in, j)
	m.depth, m.claim = outer.depth+1, outer.claim
	_, err := m.run()
	j.m = outer
	return err
}

// otherwise looks at what an unpickler that does not know joblib would make of the bytes
// of an array: if it could come to an import, the file means two things.
func (j *judge) otherwise() {
	j.in.fill(window)
	if !bytes.ContainsAny(j.in.buf[j.in.pos:], "ci\x93") {
		return
	}
	acted := false
	trial := trialOf(j.m.ctx, j.in.buf[j.in.pos:], &acted)
	trial.stack = append(trial.stack, make([]value, 16)...)
	err, _ := trial.loop()
	if acted || errors.Is(err, errEnd) && !j.in.end {
		j.unsure("pickle-ambiguous", "", "BUILD", "It holds an array for joblib whose bytes are opcodes for any other unpickler, and these may import something.", nil)
	}
}
