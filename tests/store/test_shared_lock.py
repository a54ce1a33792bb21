import threading

from llama_index_ko_rerank.store.faiss.cached_index import ReadWriteLock


def test_many_share_at_one_time():
    lock = ReadWriteLock()
    all_in = threading.Barrier(3, timeout=10)

    def share():
        with lock.shared():
            all_in.wait()

    threads = [threading.Thread(target=share) for _ in range(2)]
    for thread in threads:
        thread.start()
    with lock.shared():
        all_in.wait()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_who_has_it_alone_sees_no_other_change():
    lock = ReadWriteLock()
    counter = [0]
    seen = []

    def count():
        for _ in range(200):
            with lock.alone():
                value = counter[0]
                counter[0] = -1
                counter[0] = value + 1
            with lock.shared():
                seen.append(counter[0])

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counter == [800]
    assert min(seen) > 0


def test_who_waits_to_have_it_alone_goes_before_later_sharers():
    lock = ReadWriteLock()
    order = []
    inside, waiting = threading.Event(), threading.Event()

    def first_sharer():
        with lock.shared():
            inside.set()
            waiting.wait(10)
        order.append("shared first")

    def alone():
        waiting.set()
        with lock.alone():
            order.append("alone")

    sharer = threading.Thread(target=first_sharer)
    sharer.start()
    inside.wait(10)
    writer = threading.Thread(target=alone)
    writer.start()
    writer.join(10)
    with lock.shared():
        order.append("shared later")
    sharer.join(10)
    assert order.index("alone") < order.index("shared later")


def test_an_error_inside_releases_the_lock():
    lock = ReadWriteLock()
    for hold in (lock.shared, lock.alone):
        try:
            with hold():
                raise KeyError
        except KeyError:
            pass
    with lock.alone():
        pass
