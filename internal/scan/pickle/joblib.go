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

// itemSize gives the bytes of an element of a numpy.dtype, and whether elements are objects.
func (j *judge) itemSize(dtype value) (size int64, objects, ok bool) {
	if dtype.kind() != object || j.m.heap.node(dtype).callee.kind() != global || j.imported(j.m.heap.node(dtype).callee).String() != "numpy.dtype" {
		return 0, false, false
	}
	code, _ := j.in.text(j.item(j.m.heap.node(dtype).args, 0))
	if code == "" {
		return 0, false, false
	}
	n, err := strconv.ParseInt(code[1:], 10, 32)
	switch code[0] {
	case 'O':
		return 0, true, true
	case 'U':
		n *= 4
	case 'b', 'i', 'u', 'f', 'c', 'S', 'M', 'm':
	default: // such as V, whose fields may be objects
		return 0, false, false
	}
	return n, false, err == nil && n >= 0
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
