import threading

from llama_index_ko_rerank.store.faiss.cached_index import ReadWriteLock


def test_many_read_at_one_time():
    lock = ReadWriteLock()
    all_in = threading.Barrier(3, timeout=10)

    def read():
        with lock.read():
            all_in.wait()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    with lock.read():
        all_in.wait()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_writer_sees_no_other_change():
    lock = ReadWriteLock()
    counter = [0]
    seen = []

    def count():
        for _ in range(200):
            with lock.write():
                value = counter[0]
                counter[0] = -1
                counter[0] = value + 1
            with lock.read():
                seen.append(counter[0])

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counter == [800]
    assert min(seen) > 0


def test_a_waiting_writer_goes_before_later_readers():
    lock = ReadWriteLock()
    order = []
    inside, waiting = threading.Event(), threading.Event()

    def first_reader():
        with lock.read():
            inside.set()
            waiting.wait(10)
        order.append("first reader")

    def write():
        waiting.set()
        with lock.write():
            order.append("writer")

    reader = threading.Thread(target=first_reader)
    reader.start()
    inside.wait(10)
    writer = threading.Thread(target=write)
    writer.start()
    writer.join(10)
    with lock.read():
        order.append("later reader")
    reader.join(10)
    assert order.index("writer") < order.index("later reader")


def test_an_error_inside_releases_the_lock():
    lock = ReadWriteLock()
    for hold in (lock.read, lock.write):
        try:
            with hold():
                raise KeyError
        except KeyError:
            pass
    with lock.write():
        pass
