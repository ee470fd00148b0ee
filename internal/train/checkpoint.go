package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"assay/onnx"
)

// A checkpoint is one file: a line of JSON, the floating-point numbers that it
// counts in its fields' order, little-endian, and the SHA-256 of all before it. All
// random numbers are drawn from the seed and the epoch, so the number of epochs is
// their position too.
type checkpoint struct {
	Format   string  `json:"format"`
	Training string  `json:"training"` // digest of model, data and options
	History  []Epoch `json:"history"`  // of the epochs that were done
	Steps    int     `json:"steps"`    // that the optimizer has counted
	Best     int     `json:"best"`     // the epoch with the smallest validation loss, -1 for none
	Early    bool    `json:"early"`
	Numbers  []int   `json:"numbers"` // how many: weights, running statistics, optimizer's first and second, best weights and statistics
}

const (
	checkpointFormat = "assay training checkpoint 1"
	checkpointFile   = "training.checkpoint"
	maxHeader        = 16 << 20
)

// numbers are the slices that a checkpoint holds. The best weights belong to it
// only where there is patience to lose.
func (t *training) numbers() [][]float32 {
	n := [][]float32{t.memory.weights, t.memory.running, t.state.first, t.state.second}
	if t.Patience > 0 {
		n = append(n, t.best.weights, t.best.running)
	}
	return n
}

// save writes the state after an epoch, whole or not at all.
func (t *training) save() error {
	if t.Checkpoint == "" {
		return nil
	}
	if err := t.write(filepath.Join(t.Checkpoint, checkpointFile)); err != nil {
		return fmt.Errorf("save the checkpoint of epoch %d: %w", t.epoch, err)
	}
	return nil
}

func (t *training) write(path string) error {
	c := checkpoint{Format: checkpointFormat, Training: t.digest, History: t.history, Steps: t.state.steps, Best: t.bestEpoch, Early: t.early}
	for _, part := range t.numbers() {
		c.Numbers = append(c.Numbers, len(part))
	}
	header, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+checkpointFile+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	hash := sha256.New()
	w := io.MultiWriter(f, hash)
	_, err = w.Write(append(header, '\n'))
	for _, part := range t.numbers() {
		if err == nil {
			err = binary.Write(w, binary.LittleEndian, part)
		}
	}
	if err == nil {
		_, err = f.Write(hash.Sum(nil))
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// resume takes up the state in the checkpoint's folder, where there is one.
func (t *training) resume() error {
	if t.Checkpoint == "" {
		return nil
	}
	path := filepath.Join(t.Checkpoint, checkpointFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("resume training: %w", err)
	}
	defer f.Close()
	if err := t.read(f); err != nil {
		return fmt.Errorf("resume training from %s: %w; remove the file to begin anew", path, err)
	}
	return nil
}

func (t *training) read(r io.Reader) error {
	want := 0
	for _, part := range t.numbers() {
		want += 4 * len(part)
	}
	// A file that is larger than this training's can be is not looked at further.
	data, err := io.ReadAll(io.LimitReader(r, int64(maxHeader+want+sha256.Size+1)))
	if err != nil {
		return err
	}
	header, rest, found := bytes.Cut(data, []byte("\n"))
	end := len(data) - sha256.Size
	if !found || end < len(header)+1 || [sha256.Size]byte(data[end:]) != sha256.Sum256(data[:end]) {
		return errors.New("it is not a whole checkpoint")
	}
	var c checkpoint
	if err := json.Unmarshal(header, &c); err != nil || c.Format != checkpointFormat {
		return errors.New("it is no checkpoint of this version")
	}
	if c.Training != t.digest {
		return errors.New("it is of a training with another model, other data or other options")
	}
	if err := c.check(t, len(rest)-sha256.Size-want); err != nil {
		return err
	}
	for _, part := range t.numbers() {
		if _, err := binary.Decode(rest, binary.LittleEndian, part); err != nil {
			return err
		}
		rest = rest[4*len(part):]
	}
	t.history, t.bestEpoch, t.early = c.History, c.Best, c.Early
	t.epoch, t.resumed, t.state.steps = len(c.History), len(c.History), c.Steps
	t.memory.keep(t.good)
	return nil
}

// check refuses what cannot be this training's, whatever the digest says.
func (c *checkpoint) check(t *training, tooMuch int) error {
	ok := tooMuch == 0 && len(c.Numbers) == len(t.numbers()) && c.Steps >= 0 &&
		len(c.History) <= t.Epochs && c.Best >= -1 && c.Best < max(len(c.History), 1)
	for i, part := range t.numbers() {
		ok = ok && c.Numbers[i] == len(part)
	}
	for _, e := range c.History {
		ok = ok && (e.Validation != nil) == (t.evaluator != nil)
	}
	if !ok {
		return errors.New("its content contradicts itself")
	}
	return nil
}

// Fingerprint identifies a training by all that decides its result, in hexadecimal: model, data
// and options, but for functions, for which the recipe stands. Trainings with the same one give the same model.
func Fingerprint(m *onnx.Model, d *Data, o Options) (string, error) {
	if err := o.complete(d); err != nil {
		return "", err
	}
	return fingerprint(separated(m), d, &o)
}

// fingerprint is Fingerprint of options that are complete.
func fingerprint(m *onnx.Model, d *Data, o *Options) (string, error) {
	hash := sha256.New()
	encoded, err := m.Encode()
	if err != nil {
		return "", err
	}
	settings, err := json.Marshal(struct {
		Output        string
		Epochs, Batch int
		Optimizer     Optimizer
		Schedule      Schedule
		Augment       Augmentation
		Frozen        []string
		Seed          uint64
		Patience      int
		Recipe        string `json:",omitempty"`
		Private       string `json:",omitempty"`
	}{o.Output, o.Epochs, o.Batch, o.Optimizer, o.Schedule, o.Augment, o.Frozen, o.Seed, o.Patience, o.Recipe, o.Private.identity()})
	if err != nil {
		return "", err
	}
	for _, part := range [][]byte{encoded, settings} {
		hash.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(part))))
		hash.Write(part)
	}
	for _, data := range []*Data{d, o.Validation} {
		if data != nil {
			data.hash(hash)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// hash writes all of the data.
func (d *Data) hash(w hash.Hash) {
	shape, _ := json.Marshal([]any{d.Shape, len(d.X), len(d.Classes), len(d.Targets), len(d.Weights)})
	w.Write(shape)
	buffer := make([]byte, 0, 1<<16)
	flush := func(least int) {
		if len(buffer) >= least {
			w.Write(buffer)
			buffer = buffer[:0]
		}
	}
	for _, numbers := range [][]float32{d.X, d.Targets, d.Weights} {
		for _, v := range numbers {
			buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(v))
			flush(1<<16 - 8)
		}
	}
	for _, c := range d.Classes {
		buffer = binary.LittleEndian.AppendUint32(buffer, uint32(c))
		flush(1<<16 - 8)
	}
	flush(0)
}
