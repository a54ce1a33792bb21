"""Nouns: the word lists of the rules, and what a noun phrase names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from llama_index_ko_rerank.train.synthesis.parsing import Word


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PERSONS = _words(
    """
    대통령 총리 장관 차관 청장 도지사 위원장 의장 원장 총장 회장 사장 이사장 부장 소장 서장 대표 의원 위원
    판사 변호사 교수 박사 감독 선수 작가 시인 가수 배우 화가 작곡가 작사가 철학자 과학자 학자 기자 국왕 황제
    여왕 왕비 왕자 공주 장군 사람 신청인 청구인 채권자 채무자 사용자 관리자 개발자 담당자 책임자 신청자 사업자
    설치자 소유자 근로자 공무원 경찰관 임원 직원 조합원 간사 목사 신부 교황 추기경 총재 후보 피고인 피의자
    간호사 유공자 학생 교사 아버지 어머니 서기장 비서 비서관 주교 사제 승려 스님 기사 화백
    명창 사령관 제독 대위 중위 소령 중령 대령 병장 영주 천황 천왕 술탄 칼리프 플레이어 소비자 생산자 공급자
    판매자 제조자 수입자 고객 회원 감독관 승무원 조종사 군인 병사 시민 주민 국민 여성 남성 소년 소녀 노인
    어린이 아동 영유아 보호자 수급자 가입자 당사자 상속인 대리인 관리인 조합장 이장 군수 구청장 시ㆍ도지사
    담당관 감사원장 위촉위원 원고 피고 증인 당선자
    """
)
"""Ends of nouns that name persons."""

PERSONS_ALONE = frozenset(
    _words(
        """
        남편 동생 딸 아내 아들 왕 팬 형
        """
    )
)
"""Nouns that name persons only as whole words."""

ORGANISATIONS = _words(
    """
    위원회 법원 정부 국회 의회 경찰청 검찰청 법무부 국방부 교육부 환경부 외교부 통일부 공사 공단 협회 은행 회사
    기업 대학교 대학 학교 고등학교 중학교 정당 연구소 연구원 재단 방송국 신문사 출판사 구단 조합 중앙회 협의회
    연맹 단체 기관 법인 교회 병원 군대 사단 함대 공화국 왕국 제국 나라 연합 연방 방송사 정보원 감사원 교육원
    진흥원 검찰 청와대 행정부 사법부 매체 신문 밴드 그룹 총회 이사회 사무소 본부 센터
    """
)
"""Ends of nouns that name organisations."""

PLACES = _words(
    """
    특별시 광역시 도시 마을 지역 지방 공항 경기장 공원 박물관 미술관 도서관 극장 성당 사원 궁전 산맥 반도 해협
    대륙 시장 거리 광장 호텔 교도소 구치소 감옥 묘지 항구 해안 호수 사막 섬 장소 스튜디오 운동장
    """
)
"""Ends of nouns that name places."""

CLASSES = _words(
    """
    식별자 생성자 소멸자 접근자 대리자 반복자 열거자 한정자 지정자 구분자
    영화 노래 앨범 음반 드라마 소설 작품 희곡 교향곡 시집 논문 보고서 대회 경기 리그 올림픽 월드컵 사건 전쟁
    전투 작전 혁명 운동 조약 협정 법률 법안 조례 제도 정책 사업 계획 공약 직책 직위 관직 이론 개념 언어 종교
    종목 프로그램 서비스 시스템 도구 명령 명령어 함수 클래스 속성 메서드 매크로 연산자 키워드 형식 파일 폴더
    옵션 권한 서류 신청서 신고서 계획서 증명서 계약 계약서 세금 비용 수당 연금 보험 제품 물질 질병 무기 기술
    장치 시설 장비 설비 기기 자격 면허 허가 학위 학과 전공 훈장 기록 주제 단어 용어 문자 이름 별명 칭호 음식
    식물 동물 악기 색상 노선 도로 다리 건물 건축물 산업 분야 시장 방송 채널 잡지 매체 신문 게임 캐릭터 배역 구단
    밴드 그룹 정당 부대 사단 학파 왕조 시대 문명 민족 명령줄 라이브러리 모듈 패키지 컨트롤 대화상자 메뉴 단추
    버튼 페이지 사이트 웹사이트 템플릿 이벤트 예외 오류 개체 변수 매개변수 인터페이스 네임스페이스 프로토콜
    알고리즘 컴파일러 편집기 디버거 드라이버 서버 데이터베이스 테이블 계정 역할 인증서 구독 컨테이너 이미지 업무
    의무 혐의
    """
)
"""Ends of nouns that say what kind of thing is named, so that 어떤 may ask for it: 어떤 교향곡."""

DEFINING = _words(
    """
    방식 현상 과정 값 행위 집합 모음 구조 영역 절차 규칙 조직 집단 운동 활동 문서 지침 표준 원칙 단위 요소 관계
    형태 물건 지표 공간 기법 모델 서킷 코스 장르 질환 작용
    """
)
"""Further ends of nouns that a definition may end in."""

VAGUE = frozenset(
    _words(
        """
        가능 가운데 가지 각각 각종 간 것 결과 경우 계기 계획 과정 관계 관련 관심 규정 그동안 그림 기능 기준 기타
        기회 길 끝 나중 날 내용 논란 누구 눈 다수 다시 다양 다음 단계 당시 당해 대대적 대로 대부분 대상 대신 데 도움
        동시 동안 둘 뒤 등 때 때때로 때문 뜻 마음 마지막 만큼 말 말씀 모두 모습 목적 몸 무엇 문서 문제 바 밖 반면
        반응 방법 방식 번 번째 별도 부분 뿐 사람 사람들 사실 사용 사이 사항 상태 상황 생각 서로 설명 섹션 소리 소식
        속 손 수 스스로 시간 시작 아래 안 앞 얼굴 여기 여러 여부 역할 영향 영향력 예 예제 오늘 외 위 의견 의미 이내
        이때 이름 이상 이용 이유 이전 이하 이후 일 일부 입장 자 자료 자신 자체 작업 전 전체 절차 점 정도 정보 조치
        줄 중 지금 차이 참조 채 책임 처음 최근 측 측면 크기 표 표면 필요 하나 한계 한편 함께 항목 해 해당 해외 현재
        형식 화제 효과 후 후임 힘
        """
    )
)
"""Nouns that say nothing alone, and are not worth asking for."""

ACTIONS = frozenset(
    _words(
        """
        가져오기 감면 개최 검사 검색 결정 계산 고시 공개 공고 관리 교부 구독 구분 구성 구현 기록 납부 내보내기
        다운로드 등록 디버그 디버깅 마이그레이션 만들기 모니터링 바인딩 반환 발급 배포 백업 변경 변환 보고 보관 보존
        보호 복사 복원 부과 분류 비교 비활성화 빌드 사용 삭제 산정 생성 선정 선출 설정 설치 소집 수정 승인 신고
        신청 실행 심사 심의 양도 업그레이드 업데이트 업로드 연결 열람 운영 위임 위촉 위탁 의결 이동 이의신청 이전
        인증 임명 작성 저장 점검 정렬 정지 제거 제출 조사 준비 지급 지원 지정 징수 처리 청구 초기화 최적화 추가
        취소 측정 컴파일 테스트 통지 평가 폐지 표시 필터링 할당 해제 해지 허가 협의 호출 확보 확인 환급 활성화
        """
    )
)
"""Nouns of what is done, to which 하다 makes a verb."""

HUMAN_ACTS = frozenset(
    _words(
        """
        가르치 감독 강조 거부 결혼 고백 공부 구속 귀국 기용 낙선 느끼 답변 당선 데뷔 만나 말 말하 망명 명령 반대
        발표 밝히 배우 복귀 부인 부임 비판 사과 사망 사임 사퇴 살해 생각 선언 수상 싸우 쓰 쓰이 암살 약속 언급 연구
        연출 요청 유학 은퇴 이끌 이적 이혼 임명 입당 입대 입학 작곡 작사 저술 전역 제안 졸업 주연 주장 죽 지명 지시
        지적 진학 집필 찬성 처형 체포 출마 출연 취임 탈당 태어나 평가 해석 활약 회고
        """
    )
)
"""Stems of what people do, by which a name is known as a person's."""

DONE_TO_PEOPLE = frozenset(
    _words(
        """
        고발 고소 구속 낳 만나 비판 살해 선임 선출 설득 암살 영입 위촉 임명 존경 지명 지지 처형 체포 초청 추천 해임
        """
    )
)
"""Stems of what is done to people."""

MADE_OF = frozenset(
    _words(
        """
        간주 결정 구성 기록 나누 나뉘 대체 되 만들 바꾸 바뀌 발전 변경 변환 부르 불리 사용 삼 선정 선출 선택 수령
        시작 이루어지 이용 임명 작성 정하 지급 지정 평가 표시 표현 하
        """
    )
)
"""Stems that go with 무엇으로."""

PARTS_OF_TIME = frozenset(
    _words(
        """
        가을 겨울 경 기준 당시 동안 말 무렵 봄 사이 상반기 여름 이래 이전 이후 전 중반 중순 초 초반 초순 하반기 하순
        현재 후 후반
        """
    )
)
"""Nouns that go on with a date."""

POINTING = frozenset(
    _words(
        """
        각호 같은 그 그러한 그런 그렇게 그와 다른 다음 다음과 다음의 당해 동 동항 본 아래 앞 여기서 위 이 이같은
        이러한 이런 이렇게 이와 이처럼 저 전항 해당
        """
    )
)
"""Words that point at what stands elsewhere."""

POINTING_NOUNS = frozenset(
    _words(
        """
        거기 그 그것 그곳 그녀 그들 그때 나 너 당시 동시 둘 본인 상기 아래 양자 여기 우리 이 이것 이곳 이들 이때
        이하 이후 자신 저 저것 전자 후자
        """
    )
)
"""Nouns and pronouns that point at what stands elsewhere."""

SENTENCE_ADVERBS = frozenset(
    _words(
        """
        밖에 설상가상으로 곧
        결국 그 그래서 그러나 그러므로 그런데 그리고 기본적으로 다만 다음으로 당시 더불어 뒤 들어 따라서 때문에 또
        또는 또한 마지막으로 먼저 및 반면 반면에 예를 이때 이렇게 이로써 이를 이어 이에 이처럼 이후 일반적으로 즉
        참고로 통해 특히 하지만 한편
        """
    )
)
"""Words that tie a sentence to the one before it."""

ASKING = frozenset(
    _words(
        """
        그해 그달 그날
        누가 누구 다음날 당일 뒤 며칠 몇 무엇 어느 어디 어떤 언제 얼마 이듬해 이튿날 전날 후
        """
    )
)
"""Words that ask already, or name a day by another day."""


NounKind = Literal["person", "organisation", "place", "time", "quantity", "class", "thing"]
"""What a phrase names. A `class` phrase ends in a noun that says what it is: 파우스트 교향곡."""

_TIME = re.compile(
    r"(?:기원전 ?)?\d{1,4}(?:년대?|세기)(?: ?\d{1,2}월)?(?: ?\d{1,2}일)?"
    r"(?: (?:초|말|초반|중반|후반|봄|여름|가을|겨울))?|\d{1,2}월(?: ?\d{1,2}일)?"
)
_YEARS = re.compile(r"(?:기원전 ?)?(?:\d{3,4})년")
_UNBALANCED = re.compile(r"""^[^"“]*["”][^"“]*$|^[^'‘]*['’][^'‘]*$|^[^“]*”|“[^”]*$|^[^‘]*’|‘[^’]*$|[\[\]()<>/\\=|]""")
_DATE_WORD = re.compile(r"(?:\d{1,4}(?:년대?|월|일|세기)|기원전)")
_DURATION = re.compile(r"\d{1,3}년|\d{1,2}일")
_QUANTITY = re.compile(
    r"(?P<number>\d[\d,.]*(?:\s?[천만억조]+(?:\s?\d[\d,]*\s?[천만억]*)?)?)\s?"
    r"(?P<unit>명|인|개국|개소|개월|개|년|일|시간|분|초|주|원|달러|엔|점|회|번|배|퍼센트|%|킬로미터|미터|㎞|㎡|km|kg"
    r"|톤|살|세|위|차례|권|편|곡|대|척|마리|가지|바이트|비트|배럴|석|표)"
    r"(?P<rest> ?(?:이상|이하|이내|미만|초과|가량|정도|동안|간|째))?"
)
_DAYS = {"일": "며칠"}
_HOW_MUCH = frozenset(["원", "달러", "엔"])
_UNIT_NAMES = {"%": "퍼센트", "㎞": "킬로미터", "km": "킬로미터", "kg": "킬로그램", "인": "명", "㎡": "제곱미터"}

_KOREAN_NAME = re.compile(
    r"[김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구민진지엄채원천방공현함변염추도석선설마길]"
    r"[가-힣]{2}"
)
_HEADS = (*ORGANISATIONS, *PLACES, *CLASSES)
_CITY = re.compile(r"[가-힣]{1,4}시")
_PLACE_NAME = re.compile(r"[가-힣]{1,5}(?:시|군|구|동|읍|면|리|도|주|역|산|강|섬|국)")
_UNDETERMINED = re.compile("위의|하나의|대부분의|다음의|아래의|여러|단일|앞의|모두의|각각의|자체의|다른|일부")


def kind_of(phrase: Sequence[Word]) -> NounKind | None:
    """Say what a noun phrase names; None where no good question can be asked of it."""
    last = phrase[-1]
    text = phrase_text(phrase)
    if _UNDETERMINED.fullmatch(phrase[0].text) or (len(phrase) > 1 and len(phrase[0].text) < 2):
        return None
    if is_time(text):
        return "time"
    if _QUANTITY.fullmatch(text):
        return "quantity"
    if (
        _UNBALANCED.search(text)
        or last.noun.endswith("적")
        or any(tag == "SN" for tag in last.tags)
        or last.noun in VAGUE
        or len(last.noun) < 2
    ):
        return None
    kind = _kind_by_ending(phrase)
    if kind:
        return kind
    if last.noun.endswith(CLASSES) and last.noun not in CLASSES:
        return "class"
    if last.noun in _HEADS:
        return "class" if len(phrase) > 1 else None
    return "thing"


def phrase_text(phrase: Sequence[Word]) -> str:
    """Write a noun phrase without its last particle."""
    return " ".join([*(word.text for word in phrase[:-1]), phrase[-1].noun])


def is_time(text: str) -> bool:
    """Say whether a phrase is a date, a year or a century, and no length of time."""
    return bool(_TIME.fullmatch(text)) and not _DURATION.fullmatch(text)


def is_year(text: str) -> bool:
    """Say whether a phrase is a year and nothing more."""
    return bool(_YEARS.fullmatch(text))


def how_many(text: str) -> str:
    """Turn a quantity into what asks for it: 3만 명 becomes 몇 명, 30일 이내 becomes 며칠 이내, 500원 becomes 얼마.

    >>> how_many("30일 이내"), how_many("3만 5천 명"), how_many("1,000원"), how_many("20%")
    ('며칠 이내', '몇 명', '얼마', '몇 퍼센트')
    """
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no quantity")
    unit = _UNIT_NAMES.get(match["unit"], match["unit"])
    counted = "얼마" if unit in _HOW_MUCH else _DAYS.get(unit) or f"몇 {unit}"
    return counted + (match["rest"] or "")


def head_noun(phrase: Sequence[Word]) -> str:
    """Give the noun that says what a phrase names, such as 위원회 of 공정거래위원회; empty where it has none."""
    noun = phrase[-1].noun
    if is_name(phrase) and noun.endswith("국"):
        return "나라"
    if is_name(phrase) and _CITY.fullmatch(phrase_text(phrase)):
        return "도시"
    if not noun.endswith(_HEADS):
        return ""
    return max((ending for ending in _HEADS if noun.endswith(ending)), key=len)


def has_class(phrase: Sequence[Word]) -> bool:
    """Say whether the last noun says what kind of thing a phrase names, alone or as its end."""
    return phrase[-1].noun.endswith((*_HEADS, *DEFINING))


def is_korean_name(noun: str) -> bool:
    """Say whether a noun has the form of a Korean person's name."""
    return bool(_KOREAN_NAME.fullmatch(noun))


def is_vague(word: Word) -> bool:
    """Say whether a noun says nothing alone: 경우, 이후, 다음."""
    return word.noun in VAGUE


def is_name(phrase: Sequence[Word]) -> bool:
    """Say whether a phrase is a bare proper name, which may be that of a person."""
    tags = [tag for tag in phrase[-1].tags if not tag.startswith("J")]
    return "NNP" in tags and not any(tag in ("SL", "SN", "SSO", "SSC") for tag in tags)


def is_date_word(noun: str) -> bool:
    """Say whether a word is part of a date: 2017년, 5월, 19일.

    >>> is_date_word("19일"), is_date_word("19명")
    (True, False)
    """
    return bool(_DATE_WORD.fullmatch(noun))


def _kind_by_ending(phrase: Sequence[Word]) -> NounKind | None:
    noun = phrase[-1].noun.removesuffix("들")
    is_doer = not noun.endswith(CLASSES) and any(
        m.form in ("자", "인", "씨") and m.tag == "XSN" for m in phrase[-1].morphemes
    )
    if noun.endswith(PERSONS) or noun in PERSONS_ALONE or is_doer or (noun.endswith("씨") and len(noun) > 2):
        return "person"
    if is_name(phrase) and any(word.noun.endswith(PERSONS) for word in phrase[:-1]):
        return "person"
    if noun.endswith(ORGANISATIONS):
        return "organisation"
    if noun.endswith(PLACES):
        return "place"
    if "NNP" in phrase[-1].tags and _PLACE_NAME.fullmatch(noun):
        return "place"
    return None
